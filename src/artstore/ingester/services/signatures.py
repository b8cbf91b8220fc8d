"""Types of content by its first and last bytes. Pure and quick: no table of thousands of rules.

What is not known here is left to libmagic, which takes a hundred times as long.
"""

import re
from typing import Final, NamedTuple

from artstore.core.archives import (
    SHORT_TAIL_BYTES,
    ZIP_BEGINS,
    is_directory_out_of_sight,
    read_directory,
)

UNKNOWN: Final = "application/octet-stream"
TEXT: Final = "text/plain"
ZIP: Final = "application/zip"
OLE: Final = "application/x-ole-storage"
PDF: Final = "application/pdf"


class Found(NamedTuple):
    content_type: str
    is_sound: bool = True
    """False: it begins as one of its type and does not hold together as one."""
    is_certain: bool = True
    """False: more of a guess, and no ground to call anybody a liar."""


_OOXML: Final = "application/vnd.openxmlformats-officedocument."
_MACROS: Final = ".macroenabled.12"
# Folder of the main part: type of the document, and of one with macros.
_OOXML_PARTS: Final = (
    (b"word/", f"{_OOXML}wordprocessingml.document", f"application/vnd.ms-word.document{_MACROS}"),
    (b"xl/", f"{_OOXML}spreadsheetml.sheet", f"application/vnd.ms-excel.sheet{_MACROS}"),
    (
        b"ppt/",
        f"{_OOXML}presentationml.presentation",
        f"application/vnd.ms-powerpoint.presentation{_MACROS}",
    ),
)

_PREFIXES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"{\\rtf", "application/rtf"),
    (b"%!PS", "application/postscript"),
    (b"AT&TFORM", "image/vnd.djvu"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x7fELF", "application/x-executable"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "application/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
)
_BY_FIRST: Final = {
    first: tuple(pair for pair in _PREFIXES if pair[0][0] == first)
    for first in {prefix[0] for prefix, _ in _PREFIXES}
}
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}

SURE: Final = frozenset(
    {PDF, ZIP, *(name for _, name in _PREFIXES), *_RIFF.values(), "application/x-tar", "video/mp4"}
    | {name for _, *names in _OOXML_PARTS for name in names}
    | {
        f"application/vnd.oasis.opendocument.{kind}"
        for kind in ("text", "spreadsheet", "presentation", "graphics")
    }
)
"""Content of these types is always recognised: what was not is none of them."""

# Letters of every alphabet in one byte each, and the controls that texts have.
_TEXT_BYTES: Final = bytes({7, 8, 9, 10, 11, 12, 13, 27} | set(range(32, 256)) - {127})
_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_MARKUP: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:(<!doctype html|<html|<head|<body|<script)|(<\?xml|<svg))",
    re.IGNORECASE,
)
_SVG: Final = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_HTML: Final = re.compile(rb"<(?:!doctype )?html[\s>]", re.IGNORECASE)


NOTHING: Final = Found(UNKNOWN, is_certain=False)


def recognise(head: bytes, tail: bytes) -> Found | None:
    """What the content is; `None` if that takes a closer look.

    Args:
        head: The first `HEAD_BYTES`, or all of it.
        tail: As much of the end as is known; for a zip up to `archives.TAIL_BYTES`.
    """
    if not head:
        return NOTHING
    for prefix, content_type in _BY_FIRST.get(head[0], ()):
        if head.startswith(prefix):
            return Found(content_type)
    found = _structured(head, tail)
    if found is None and is_text(head):
        return Found(_text(head))
    return found


def _structured(head: bytes, tail: bytes) -> Found | None:
    if head.startswith(ZIP_BEGINS):
        return _zip(head, tail)
    if head.startswith(b"%PDF-"):
        # From the end, where it is.
        return Found(PDF, is_sound=tail.rfind(b"%%EOF", -SHORT_TAIL_BYTES) >= 0)
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return Found(_RIFF[head[8:12]])
    if head[4:8] == b"ftyp":
        return Found("video/mp4")
    return Found("application/x-tar") if head[257:262] == b"ustar" else None


def is_text(head: bytes) -> bool:
    return head.startswith(_BYTE_ORDER_MARKS) or not head.translate(None, _TEXT_BYTES)


def _text(head: bytes) -> str:
    markup = _MARKUP.match(head)
    if markup is None:
        return TEXT
    if markup[1] or _HTML.search(head):
        return "text/html"
    return "image/svg+xml" if _SVG.search(head) else "application/xml"


def _zip(head: bytes, tail: bytes) -> Found:
    entries = read_directory(tail)
    if entries is None:
        # Thousands of entries are no lie; of what kind they are nobody sees.
        return Found(_own_mimetype(head) or ZIP, is_sound=is_directory_out_of_sight(tail))
    names = {entry.name for entry in entries}
    if b"[Content_Types].xml" in names:
        return Found(_ooxml(names))
    own = _own_mimetype(head)
    if own is not None:
        is_sound = own == "application/epub+zip" or b"META-INF/manifest.xml" in names
        return Found(own, is_sound)
    return Found("application/java-archive" if b"META-INF/MANIFEST.MF" in names else ZIP)


def _ooxml(names: set[bytes]) -> str:
    for folder, plain, with_macros in _OOXML_PARTS:
        if any(name.startswith(folder) for name in names):
            return with_macros if folder + b"vbaProject.bin" in names else plain
    return ZIP


def _own_mimetype(head: bytes) -> str | None:
    """The first entry of OpenDocument and EPUB files is `mimetype`, stored as it is."""
    match = re.match(
        rb"PK\x03\x04.{4}\x00\x00.{8}(.{4}).{4}\x08\x00(.{2})mimetype", head, re.DOTALL
    )
    if match is None:
        return None
    start = match.end() + int.from_bytes(match[2], "little")
    text = head[start : start + int.from_bytes(match[1], "little")]
    if re.fullmatch(rb"application/(?:vnd\.oasis\.opendocument\.[a-z-]{1,40}|epub\+zip)", text):
        return text.decode()
    return None
