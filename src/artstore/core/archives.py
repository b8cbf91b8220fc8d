"""What a zip says of itself: its end, read from the last bytes of the file alone.

The names tell what kind of document it is, the sizes whether a scanner can have seen all of it.
"""

import struct
from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 8192
ZIP_BEGINS: Final = (b"PK\x03\x04", b"PK\x05\x06")
SHORT_TAIL_BYTES: Final = 1024
"""Of everything else: readers of PDF look for its end so far."""
TAIL_BYTES: Final = 256 << 10
"""So much of the end of a zip is kept while it passes: some 3000 entries."""

_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_COMMENT_BYTES_MAX: Final = 0xFFFF
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_ENTRY_MAGIC: Final = b"PK\x01\x02"
_ENCRYPTED: Final = 0x1
_IN_ZIP64: Final = 0xFFFFFFFF
_LOCATOR_MAGIC: Final = b"PK\x06\x07"
_LOCATOR_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class ZipEntry:
    name: bytes
    packed_bytes: int
    unpacked_bytes: int
    is_encrypted: bool


def read_directory(tail: bytes) -> list[ZipEntry] | None:
    """The entries of the zip that ends with `tail`, as its central directory lists them.

    `None`: it is not whole, lies before `tail`, or is a zip64. A size that stands elsewhere is as
    large as can be: what cannot be read is never taken for harmless.
    """
    at = _end_of(tail)
    if at < 0 or at + _END.size > len(tail):
        return None
    _, disk, first_disk, here, total, size, _, comment = _END.unpack_from(tail, at)
    start = at - size
    if disk or first_disk or here != total or start < 0 or at + _END.size + comment != len(tail):
        return None
    entries: list[ZipEntry] = []
    position = start
    for _ in range(total):
        if position + _ENTRY.size > at:
            return None
        entry, position = _read_entry(tail, position)
        if entry is None:
            return None
        entries.append(entry)
    return entries if position == at else None


def ends_as_zip(tail: bytes) -> bool:
    """Whatever it begins as: programs that unpack look at the end alone."""
    at = _end_of(tail)
    if at < 0 or at + _END.size > len(tail):
        return False
    comment: int = _END.unpack_from(tail, at)[-1]
    return at + _END.size + comment == len(tail)


def _end_of(tail: bytes) -> int:
    return tail.rfind(_END_MAGIC, max(0, len(tail) - _END.size - _COMMENT_BYTES_MAX))


def is_directory_out_of_sight(tail: bytes) -> bool:
    """The zip that ends with `tail` ends as it should, and its directory is too long for `tail`,
    or a zip64."""
    if not ends_as_zip(tail):
        return False
    at = _end_of(tail)
    if tail[max(0, at - _LOCATOR_BYTES) : at].startswith(_LOCATOR_MAGIC):
        return True
    size: int = _END.unpack_from(tail, at)[5]
    return size > at and len(tail) >= TAIL_BYTES


def _read_entry(tail: bytes, position: int) -> tuple[ZipEntry | None, int]:
    fields = _ENTRY.unpack_from(tail, position)
    magic, flags, packed, unpacked = fields[0], fields[3], fields[8], fields[9]
    name_length, extra_length, comment_length = fields[10:13]
    name_at = position + _ENTRY.size
    following = name_at + name_length + extra_length + comment_length
    if magic != _ENTRY_MAGIC:
        return None, following
    if packed == _IN_ZIP64:
        unpacked = _IN_ZIP64
    name = tail[name_at : name_at + name_length]
    return ZipEntry(name, packed, unpacked, bool(flags & _ENCRYPTED)), following


class Ends:
    """The beginning and the end of a content that passes. In constant memory, and little of it
    unless it is a zip."""

    def __init__(self) -> None:
        self.head = b""
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> None:
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        keep_bytes = TAIL_BYTES if self.head.startswith(ZIP_BEGINS) else SHORT_TAIL_BYTES
        if len(chunk) >= keep_bytes:
            self._tail = bytearray(chunk[-keep_bytes:])
            return
        self._tail += chunk
        # Not at each chunk, since that moves all of it; but of hundreds of uploads at once.
        if len(self._tail) > keep_bytes + keep_bytes // 4:
            del self._tail[:-keep_bytes]

    @property
    def tail(self) -> bytes:
        return bytes(self._tail)
