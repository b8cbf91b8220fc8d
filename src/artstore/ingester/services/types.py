"""Which type a file has: what its bytes say, weighed with what its sender says. Pure."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from artstore.ingester.services.signatures import NOTHING, OLE, SURE, TEXT, UNKNOWN, ZIP, Found

_ALIASES: Final = MappingProxyType(
    {
        "application/x-pdf": "application/pdf",
        "application/x-gzip": "application/gzip",
        "application/x-zip-compressed": ZIP,
        "application/x-zip": ZIP,
        "application/x-rar-compressed": "application/vnd.rar",
        "application/x-rar": "application/vnd.rar",
        "application/x-bzip": "application/x-bzip2",
        "application/x-sqlite3": "application/vnd.sqlite3",
        "application/x-msdownload": "application/vnd.microsoft.portable-executable",
        "application/x-dosexec": "application/vnd.microsoft.portable-executable",
        "application/x-msdos-program": "application/vnd.microsoft.portable-executable",
        "application/x-sharedlib": "application/x-executable",
        "application/x-pie-executable": "application/x-executable",
        "application/x-elf": "application/x-executable",
        "application/jar": "application/java-archive",
        "application/x-jar": "application/java-archive",
        "audio/x-wav": "audio/wav",
        "audio/vnd.wave": "audio/wav",
        "audio/x-flac": "audio/flac",
        "image/jpg": "image/jpeg",
        "image/pjpeg": "image/jpeg",
        "image/x-png": "image/png",
        "image/x-ms-bmp": "image/bmp",
        "image/x-djvu": "image/vnd.djvu",
        "text/rtf": "application/rtf",
        "text/xml": "application/xml",
        "video/avi": "video/x-msvideo",
    }
)
_OLE_TYPES: Final = frozenset(
    {
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.ms-outlook",
        "application/vnd.ms-project",
        "application/vnd.ms-publisher",
        "application/vnd.visio",
        "application/x-msi",
    }
)
_FTYP_TYPES: Final = frozenset(
    {
        "video/quicktime",
        "audio/mp4",
        "audio/x-m4a",
        "video/3gpp",
        "image/heic",
        "image/heif",
        "image/avif",
    }
)
_OGG_TYPES: Final = frozenset({"audio/ogg", "video/ogg", "audio/opus"})
_MORE_SPECIFIC: Final = MappingProxyType(
    {
        OLE: _OLE_TYPES,
        "video/mp4": _FTYP_TYPES,
        "application/ogg": _OGG_TYPES,
        "video/x-matroska": frozenset({"video/webm", "audio/webm"}),
        "image/tiff": frozenset({"image/x-adobe-dng"}),
    }
)
"""What a sender may say of content of which the bytes tell less."""

TYPES_KEPT: Final = 1024
"""Of what senders say: nearly all say one of a few."""

_NOT_TEXT: Final = ("image/", "audio/", "video/", "font/")
# Its text reads as a document; whatever the sender calls it, it stays what it is.
_MARKUP: Final = frozenset({"text/html", "application/xml", "image/svg+xml"})


class Settled(NamedTuple):
    content_type: str
    """What the file is served as."""
    is_mismatch: bool
    """It is not what its sender declared."""


def settle(declared: str | None, guessed: str, found: Found) -> Settled:
    """
    Args:
        declared: What the sender says, with parameters; `None`: nothing, or that it is unknown.
        guessed: By the name of the file.
    """
    said = guessed if declared is None else declared
    # What is only guessed proves that it is none of the types that are always recognised.
    seen = found.content_type if found.is_certain else UNKNOWN
    if found is NOTHING or goes_with(base_of(said), seen) or base_of(said) == found.content_type:
        is_mismatch = declared is not None and not found.is_sound
        return Settled(_narrower(said, found.content_type), is_mismatch)
    return Settled(found.content_type, declared is not None)


def needs_a_guess(said: str) -> bool:
    """Whether a guess about content that nobody recognised may change what `settle` says."""
    base = base_of(said)
    return base in (UNKNOWN, ZIP) or not _may_be_unknown(base)


@lru_cache(TYPES_KEPT)
def base_of(content_type: str) -> str:
    """Without parameters, in lower case, by its usual name."""
    base = content_type.partition(";")[0].strip().lower()
    return _ALIASES.get(base, base)


def goes_with(declared: str, found: str) -> bool:
    """Whether content that looks like `found` may be `declared`. Both as `base_of` has them."""
    if declared in (found, UNKNOWN) or declared in _MORE_SPECIFIC.get(found, ()):
        return True
    rule = _LOOSE.get(found)
    if rule is not None:
        return rule(declared)
    # A document that is a zip inside.
    return declared == ZIP and ("opendocument" in found or "openxml" in found)


def _may_be_unknown(declared: str) -> bool:
    return declared not in SURE and not declared.startswith("text/")


def _may_be_text(declared: str) -> bool:
    return declared in _MARKUP or (declared not in SURE and not declared.startswith(_NOT_TEXT))


def _may_be_markup(declared: str) -> bool:
    return declared.startswith("text/") or declared.endswith("xml")


def _may_be_packed(declared: str) -> bool:
    return declared.startswith("application/") and declared not in SURE


def _may_be_java(declared: str) -> bool:
    return declared == ZIP or _may_be_packed(declared)


_LOOSE: Final[Mapping[str, Callable[[str], bool]]] = {
    UNKNOWN: _may_be_unknown,
    TEXT: _may_be_text,
    **dict.fromkeys(_MARKUP, _may_be_markup),
    **dict.fromkeys((ZIP, "application/gzip"), _may_be_packed),
    "application/java-archive": _may_be_java,
}
"""Content that tells little of what it is: many formats are texts or archives."""


def _narrower(said: str, found: str) -> str:
    """Of two types that go together, the one that says more."""
    return found if base_of(said) in (UNKNOWN, ZIP) and found != UNKNOWN else said


def is_allowed(content_type: str, patterns: tuple[str, ...]) -> bool:
    """No pattern at all allows everything."""
    if not patterns:
        return True
    base = base_of(content_type)
    kind = base.partition("/")[0] + "/*"
    return any(pattern in (base, kind) or base_of(pattern) == base for pattern in patterns)
