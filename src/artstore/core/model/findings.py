"""What is said of a value that is malformed: pydantic's findings, in words of who sent it."""

from typing import Final

from pydantic_core import ErrorDetails

NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,62}$"
SHA256: Final = r"^[0-9a-f]{64}$"
SUBJECT: Final = r"^(user|account):[0-9a-f-]{36}$"
WITHOUT_NUL: Final = r"^[^\x00]*$"

_WORDS: Final = {
    NAME: "lower-case Latin letters, digits, '.', '_' and '-', at most 63, "
    "the first a letter or digit",
    SHA256: "64 hexadecimal digits in lower case",
    WITHOUT_NUL: "without NUL characters",
    SUBJECT: "account:ID or user:ID, as uploaded_by of a file has it",
}
"""Instead of the expression, which tells most people nothing."""


def told(finding: ErrorDetails) -> str:
    """Never holds the input itself: it may be a secret."""
    if finding["type"] == "string_pattern_mismatch":
        pattern = finding.get("ctx", {}).get("pattern")
        if words := _WORDS.get(str(pattern)):
            return f"must be {words}"
    return finding["msg"].removeprefix("Value error, ")
