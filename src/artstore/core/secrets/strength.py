"""Whether a secret could be guessed. Machines make them: there is no reason to accept less."""

import re
from itertools import pairwise
from typing import Final

CHARS_MIN: Final = 20
DISTINCT_MIN: Final = 10
_KNOWN: Final = (
    *("password", "passwort", "passw0rd", "changeme", "change-me", "change_me", "default"),
    *("secret", "artstore", "postgres", "postgresql", "valkey", "redis", "admin", "root"),
    *("minioadmin", "minio", "vault", "openbao", "example", "sample", "letmein", "welcome"),
    *("qwertyuiop", "qwerty", "asdfgh", "zxcvbn", "йцукен", "пароль", "test", "token"),
    *("abcdefghijklmnopqrstuvwxyz", "abcdefghij", "0123456789", "1234567890", "123456", "abc123"),
)
_WORDS: Final = re.compile("|".join(map(re.escape, sorted(_KNOWN, key=len, reverse=True))))


def weakness(secret: str) -> str | None:
    """What is wrong with it, without a word of it; `None` for one that is fit.

    What is known to everybody counts for nothing; what is left must be long and varied. That
    refuses defaults, words and patterns, and one random secret in some billions.
    """
    rest = _WORDS.sub("", secret.lower())
    if len(secret) < CHARS_MIN:
        return f"it has {len(secret)} characters; {CHARS_MIN} are the least"
    if len(rest) < CHARS_MIN:
        return "it is a default, or made of words that everybody knows"
    if len(set(rest)) < DISTINCT_MIN or _repeats(rest) or _counts(rest):
        return "it follows a pattern"
    return None


def _repeats(text: str) -> bool:
    """Random text hardly ever shows the same three characters twice."""
    triples = [text[at : at + 3] for at in range(len(text) - 2)]
    return len(set(triples)) < 0.8 * len(triples)


def _counts(text: str) -> bool:
    """Each character is the neighbour of the one before: 'abcd', '9876'."""
    steps = [abs(ord(later) - ord(former)) for former, later in pairwise(text)]
    return sum(step <= 1 for step in steps) > len(steps) / 2
