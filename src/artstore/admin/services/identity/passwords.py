"""Which passwords people may choose: long ones that nobody would guess. No other rules.

ASVS 5.0: at least 15 characters, no composition rules, no forced change, and refused when
it is among the commonly used ones. zxcvbn knows 30,000 of those, keyboard walks, repetitions
and dates, and counts how many guesses a password stands.
"""

from typing import Final

from zxcvbn import zxcvbn

from artstore.core.errors import WeakPassword

PASSWORD_CHARS_MIN: Final = 15
PASSWORD_CHARS_MAX: Final = 256
GUESSES_MIN: Final = 10**10
_ESTIMATED_CHARS: Final = 72
"""zxcvbn takes quadratic time; what is strong this far is strong."""
_SYSTEM_WORDS: Final = ("artstore", "archive", "administrator")


def check_password(password: str, username: str) -> None:
    """Up to a second of work for strange input: call it from a worker thread.

    Raises:
        WeakPassword: Says what is wrong and what to do.
    """
    if len(password) < PASSWORD_CHARS_MIN:
        raise WeakPassword(f"a password has at least {PASSWORD_CHARS_MIN} characters")
    if len(password) > PASSWORD_CHARS_MAX:
        raise WeakPassword(f"a password has at most {PASSWORD_CHARS_MAX} characters")
    if username.lower() in password.lower():
        raise WeakPassword("a password must not contain the user name")
    # zxcvbn does not see repetitions of line ends and the like.
    visible = "".join(char if char.isprintable() else " " for char in password)
    estimate = zxcvbn(visible[:_ESTIMATED_CHARS], user_inputs=[username, *_SYSTEM_WORDS])
    if estimate["guesses"] < GUESSES_MIN:
        raise WeakPassword(
            "this password is easy to guess: it is common, repeats itself or follows the "
            "keyboard. Several unrelated words make a good one"
        )
