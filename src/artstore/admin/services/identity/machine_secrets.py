"""Secrets of machines, of which two may be good at once while one replaces the other.

A short digest of the secret stands before its hash. It tells which of two hashes to try, so that
an attempt costs one argon2 whatever the account, and its duration tells nothing. The secrets have
256 random bits; 16 of them may be known.
"""

import hashlib

_TAG_CHARS = 4


def stored_text(secret: str, secret_hash: str) -> str:
    return f"{_tag(secret)}:{secret_hash}"


def hash_in(stored: str) -> str:
    return stored.partition(":")[2]


def candidate(secret: str, current: str, previous: str | None) -> str:
    """The stored text that `secret` may belong to."""
    tag = _tag(secret)
    if previous is not None and not current.startswith(tag) and previous.startswith(tag):
        return previous
    return current


def _tag(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:_TAG_CHARS]
