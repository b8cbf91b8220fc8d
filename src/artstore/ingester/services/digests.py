"""Digests that a sender declares: `Repr-Digest` and `Content-Digest` of RFC 9530.

Both are dictionaries of RFC 9651 structured fields: `sha-256=:<base64>:, sha-512=:...:`.
Only sha-256 is checked; other algorithms are allowed and ignored, as the RFC asks. A
header that cannot be read is refused, not ignored: its sender counts on the check.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from artstore.core.errors import InvalidRequest

SHA256_BYTES: Final = 32

_KEY = r"[a-z*][a-z0-9_.*-]*"
_BYTES = r":[A-Za-z0-9+/=]*:"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_BARE = r"[A-Za-z0-9*?@.-][!#$%&'*+.^_`|~:/A-Za-z0-9-]*"
_VALUE = rf"(?:{_BYTES}|{_STRING}|{_BARE})"
_PARAMETERS = rf"(?:;[ ]*{_KEY}(?:={_VALUE})?)*"
_MEMBER: Final = re.compile(rf"({_KEY})(?:=({_VALUE}))?{_PARAMETERS}")
_COMMA: Final = re.compile(r"[ \t]*,[ \t]*")


def declared_sha256(headers: Iterable[tuple[str, str]]) -> str | None:
    """The SHA-256 that all these headers declare, 64 lower-case hex digits; `None` if none does.

    Args:
        headers: (name, value) of every `Repr-Digest` and `Content-Digest` of the request.

    Raises:
        InvalidRequest: A header is malformed, or two of them contradict each other.
    """
    found: str | None = None
    for name, value in headers:
        digest = _sha256_of(name, value)
        if found is not None and digest is not None and digest != found:
            raise InvalidRequest("the declared digests contradict each other", field=name)
        found = digest or found
    return found


def _sha256_of(name: str, value: str) -> str | None:
    encoded = _parse_dictionary(name, value).get("sha-256")
    if encoded is None:
        return None
    if len(encoded) < 2 or not (encoded.startswith(":") and encoded.endswith(":")):
        raise _malformed(name)
    try:
        digest = base64.b64decode(encoded[1:-1], validate=True)
    except binascii.Error:
        raise _malformed(name) from None
    if len(digest) != SHA256_BYTES:
        raise _malformed(name)
    return digest.hex()


def _parse_dictionary(name: str, text: str) -> dict[str, str]:
    """Raw values by key; a key given twice keeps the last, as RFC 9651 has it."""
    members: dict[str, str] = {}
    text = text.strip(" ")
    position = 0
    while position < len(text):
        member = _MEMBER.match(text, position)
        if member is None:
            raise _malformed(name)
        # A key alone stands for "true"; `?1` is how that is written out.
        members[member[1]] = member[2] or "?1"
        position = member.end()
        if position < len(text):
            comma = _COMMA.match(text, position)
            if comma is None or comma.end() == len(text):
                raise _malformed(name)
            position = comma.end()
    return members


def _malformed(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} must be a dictionary like sha-256=:<base64 of 32 bytes>:", field=name
    )
