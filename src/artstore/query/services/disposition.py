"""`Content-Disposition` of a download (RFC 6266, RFC 8187): a name that is safe to save under.

The record keeps a file's name exactly; this header only suggests one to whoever saves the
file. So what could harm there is replaced: separators, controls, and the marks that turn the
direction of text and make `exe.fdp` read as `pdf.exe`.
"""

import re
from typing import Final
from urllib.parse import quote

ENCODED_CHARS_MAX: Final = 4096
"""Of the encoded name: many clients refuse a header line above 8 KiB."""

REPLACEMENT: Final = "_"

_HARMFUL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NOT_PLAIN: Final = re.compile(r'[^ -~]|["%\\]')
_ATTR_CHARS: Final = "!#$&+-.^_`|~"


def attachment(filename: str) -> str:
    """The header for any name that a file can have, ASCII and without line breaks."""
    name = _shortened(_safe(filename))
    plain = _NOT_PLAIN.sub(REPLACEMENT, name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{_encoded(name)}"


def _safe(filename: str) -> str:
    name = _HARMFUL.sub(REPLACEMENT, filename).strip()
    # `.` and `..` are folders, and an empty name is none.
    return name if name.strip(".") else "file"


def _shortened(name: str) -> str:
    """Cut in the middle, so that the extension stays."""
    if len(_encoded(name)) <= ENCODED_CHARS_MAX:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(_encoded(extension)) > ENCODED_CHARS_MAX // 16:
        stem, dot, extension = name, "", ""
    room = ENCODED_CHARS_MAX - len(_encoded(dot + extension))
    while len(_encoded(stem)) > room:
        # At most 12 characters of the code stand for one of the name.
        stem = stem[: -max(1, (len(_encoded(stem)) - room) // 12)]
    return stem + dot + extension


def _encoded(name: str) -> str:
    return quote(name, safe=_ATTR_CHARS)
