"""Sealed segments as history: the changes without content, as gzip of JSON lines.

A history file is a row of gzip members of about `MEMBER_BYTES` of lines each, so a reader
starts in the middle, and `zcat` reads it all. Each member ends with the CRC-32 of its lines.
"""

import bisect
import gzip
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from artstore.storage.engine.fs import Fs, write_all
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import (
    BLOCK_BYTES,
    Codec,
    feed_line,
    read_records,
)
from artstore.storage.engine.segments import (
    HistorySegment,
    RawSegment,
    history_name,
)

MEMBER_BYTES: Final = 1 << 18
LINE_BYTES_MAX: Final = (1 << 20) + 4096
_COMPRESSION: Final = 1
"""Half the time of the default for an eighth more bytes: some 110 for a file, once it is old."""

_READ_BYTES: Final = 1 << 16
_REMEMBERED_MAX: Final = 64
_SEQUENCE: Final = re.compile(rb'\{"seq":(\d+),')


class HistoryDamaged(Exception):
    """A history file is not what was written."""


def sequence_of(line: bytes) -> int:
    """Raises `HistoryDamaged` for what is no line of the feed."""
    match = _SEQUENCE.match(line)
    if match is None:
        raise HistoryDamaged("a line of the history is not a change")
    return int(match[1])


def write_history(fs: Fs, layout: Layout, codec: Codec, raw: RawSegment) -> HistorySegment:
    """The changes of a sealed segment, durable in a file of their own.

    Idempotent: a crash leaves the raw segment, or both, and then the raw one is dropped.
    """
    assert raw.last is not None
    unfinished = f"{layout.staging}/history"
    if fs.exists(unfinished):
        fs.unlink(unfinished)
    target = f"{layout.log}/{history_name(raw.first, raw.last)}"
    handle = fs.create(unfinished)
    try:
        offset = 0
        for member in _members(_lines(fs, codec, raw, raw.last)):
            write_all(fs, handle, member, offset)
            offset += len(member)
        fs.flush(handle)
    finally:
        fs.close(handle)
    fs.rename(unfinished, target)
    fs.flush_directory(layout.log)
    return HistorySegment(raw.first, raw.last, target)


def _lines(fs: Fs, codec: Codec, raw: RawSegment, last: int) -> Iterator[bytes]:
    handle = fs.open(raw.path)
    try:
        if last < raw.first:
            return
        records = read_records(
            fs, handle, codec, offset=BLOCK_BYTES, sequence=raw.first, previous_crc=None
        )
        for record in records:
            if (line := feed_line(record)) is not None:
                yield line
            if record.sequence == last:
                return
    finally:
        fs.close(handle)


def _members(lines: Iterator[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        gathered.append(line)
        size += len(line)
        if size >= MEMBER_BYTES:
            yield gzip.compress(b"".join(gathered), _COMPRESSION, mtime=0)
            gathered, size = [], 0
    if gathered:
        yield gzip.compress(b"".join(gathered), _COMPRESSION, mtime=0)


class HistoryReader:
    """Remembers where members begin, for the files read last."""

    def __init__(self, fs: Fs) -> None:
        self._fs = fs
        self._lock = threading.Lock()
        self._members: OrderedDict[str, list[tuple[int, int]]] = OrderedDict()

    def lines_after(self, segment: HistorySegment, after: int) -> Iterator[bytes]:
        """Lines with a sequence above `after`.

        Raises:
            HistoryDamaged: From the damaged member on.
        """
        handle = self._fs.open(segment.path)
        try:
            offset = self._member_before(segment.path, after)
            while True:
                data, end = _read_member(self._fs, handle, offset)
                if not data:
                    return
                lines = data.splitlines(keepends=True)
                self._remember(segment.path, sequence_of(lines[0]), offset)
                for line in lines:
                    if sequence_of(line) > after:
                        yield line
                offset = end
        finally:
            self._fs.close(handle)

    def _member_before(self, path: str, after: int) -> int:
        with self._lock:
            members = self._members.get(path, [])
            position = bisect.bisect_right(members, (after + 1, 1 << 62)) - 1
            return members[position][1] if position >= 0 else 0

    def _remember(self, path: str, sequence: int, offset: int) -> None:
        with self._lock:
            members = self._members.setdefault(path, [])
            self._members.move_to_end(path)
            if (sequence, offset) not in members:
                bisect.insort(members, (sequence, offset))
            while len(self._members) > _REMEMBERED_MAX:
                self._members.popitem(last=False)


def _read_member(fs: Fs, handle: int, offset: int) -> tuple[bytes, int]:
    """The lines of the member at `offset`, and where it ends; nothing at the file's end."""
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    pieces: list[bytes] = []
    size = 0
    position = offset
    try:
        while not unpack.eof:
            packed = fs.read(handle, _READ_BYTES, position)
            if not packed:
                if position == offset:
                    return b"", offset
                raise HistoryDamaged("a history file ends too early")
            position += len(packed)
            # Bounded: damage may unpack to far more than was ever put in.
            pieces.append(unpack.decompress(packed, MEMBER_BYTES + LINE_BYTES_MAX - size + 1))
            size += len(pieces[-1])
            if size > MEMBER_BYTES + LINE_BYTES_MAX:
                raise HistoryDamaged("a history file holds more than it can")
    except zlib.error as error:
        raise HistoryDamaged(f"a history file cannot be unpacked: {error}") from error
    return b"".join(pieces), position - len(unpack.unused_data)
