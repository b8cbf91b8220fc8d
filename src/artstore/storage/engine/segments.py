"""The files of the log directory: raw segments, compressed history, the spare.

    <first>.log                 raw segment, `SEGMENT_BYTES` long, zeros (or old records) behind
                                its last record
    <first>-<last>.jsonl.gz     history: the changes of a raw segment that is no longer needed
    spare                       a segment written full beforehand, waiting for its name

Writing into a file whose blocks exist already makes a flush three times faster: neither its
size nor its extents change. A raw segment that has become history is the next spare.
"""

import bisect
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import google_crc32c

from artstore.storage.engine.fs import Fs, write_all
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import BLOCK_BYTES
from artstore.storage.engine.refusals import LogCorrupt

FORMAT_VERSION: Final = 3
"""Since 2 a segment may hold findings and changes of mode, since 3 origins of uploads."""

_READABLE: Final = (1, 2, 3)
SEGMENT_HEADER: Final = struct.Struct(">8sI16sQII")
"""magic, format version, log id, first sequence, CRC of the record before it, CRC of this.
It has the first block for itself; records begin in the second."""

_MAGIC: Final = b"ArtStLog"
_RAW_SUFFIX: Final = ".log"
_HISTORY_SUFFIX: Final = ".jsonl.gz"
_DIGITS: Final = 20
_ZEROS: Final = bytes(1 << 20)
_INDEX_STEP: Final = 256
"""One in so many records has its place remembered: some ten kilobytes for the whole log."""


@dataclass
class RawSegment:
    """`last` is `None` while it is written to. `index` grows only, so readers need no lock."""

    first: int
    path: str
    last: int | None = None
    index: list[tuple[int, int]] = field(default_factory=list)
    read_until: tuple[int, int] = (0, 0)
    """Where a reader of the feed stopped, and most likely goes on: a sequence and its offset."""

    def note(self, sequence: int, offset: int) -> None:
        if (sequence - self.first) % _INDEX_STEP == 0:
            self.index.append((sequence, offset))

    def place_before(self, sequence: int) -> tuple[int, int]:
        """Sequence and offset of a remembered record, at or before `sequence`."""
        position = bisect.bisect_right(self.index, (sequence, 1 << 62)) - 1
        place = self.index[position] if position >= 0 else (self.first, BLOCK_BYTES)
        stop = self.read_until
        return stop if place < stop and stop[0] <= sequence else place


class HistorySegment(NamedTuple):
    first: int
    last: int
    path: str


class SegmentHeader(NamedTuple):
    first: int
    previous_crc: int


def raw_name(first: int) -> str:
    return f"{first:0{_DIGITS}}{_RAW_SUFFIX}"


def history_name(first: int, last: int) -> str:
    return f"{first:0{_DIGITS}}-{last:0{_DIGITS}}{_HISTORY_SUFFIX}"


def parse_name(directory: str, name: str) -> RawSegment | HistorySegment | None:
    path = f"{directory}/{name}"
    if name.endswith(_RAW_SUFFIX):
        first = name.removesuffix(_RAW_SUFFIX)
        if len(first) == _DIGITS and first.isdecimal():
            return RawSegment(int(first), path)
    if name.endswith(_HISTORY_SUFFIX):
        first, _, last = name.removesuffix(_HISTORY_SUFFIX).partition("-")
        if len(first) == len(last) == _DIGITS and (first + last).isdecimal():
            return HistorySegment(int(first), int(last), path)
    return None


def encode_header(log_id: bytes, header: SegmentHeader) -> bytes:
    fields = (_MAGIC, FORMAT_VERSION, log_id, header.first, header.previous_crc)
    crc = google_crc32c.value(SEGMENT_HEADER.pack(*fields, 0)[:-4])
    return SEGMENT_HEADER.pack(*fields, crc)


def decode_header(data: bytes, log_id: bytes, path: str) -> SegmentHeader:
    """Raises:
    LogCorrupt: A segment gets its name after its header is durable, so a bad one is damage.
    """
    if len(data) < SEGMENT_HEADER.size or google_crc32c.value(data[:-4]) != int.from_bytes(
        data[-4:]
    ):
        raise LogCorrupt(f"{path}: the head of the log segment is damaged")
    magic, version, found_id, first, previous_crc, _ = SEGMENT_HEADER.unpack(data)
    if magic != _MAGIC or version not in _READABLE:
        raise LogCorrupt(f"{path}: a log segment of format {version} is not known here")
    if found_id != log_id:
        raise LogCorrupt(f"{path}: the log segment belongs to another element")
    return SegmentHeader(first, previous_crc)


class Segments:
    """What the log consists of. Shared by the writer, the keeper and readers of the feed."""

    def __init__(
        self,
        fs: Fs,
        layout: Layout,
        segment_bytes: int,
        history: Sequence[HistorySegment],
        raw: Sequence[RawSegment],
    ) -> None:
        """`history` and `raw` in order, all of them sealed."""
        self._fs = fs
        self._layout = layout
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._history = list(history)
        self._raw = list(raw)
        self._spare = f"{layout.log}/spare"
        self._has_spare = False

    def snapshot(self) -> list[RawSegment | HistorySegment]:
        """In the order of their sequences."""
        with self._lock:
            return [*self._history, *self._raw]

    def sealed_until(self, covered: int) -> list[RawSegment]:
        """Raw segments that may become history."""
        with self._lock:
            return [raw for raw in self._raw if raw.last is not None and raw.last <= covered]

    @property
    def raw_count(self) -> int:
        return len(self._raw)

    def begin(self, log_id: bytes, header: SegmentHeader) -> tuple[RawSegment, int]:
        """Turn the spare into a segment behind all others; its head and name are durable.

        Returns the segment and its open handle. `OSError`: the volume failed.
        """
        fs = self._fs
        with self._lock:
            path = f"{self._layout.log}/{raw_name(header.first)}"
            handle = fs.open(self._spare, writable=True)
            try:
                write_all(fs, handle, encode_header(log_id, header), 0)
                fs.flush(handle)
                fs.rename(self._spare, path)
                self._has_spare = False
                fs.flush_directory(self._layout.log)
            except OSError:
                fs.close(handle)
                raise
            if self._raw and self._raw[-1].last is None:
                self._raw[-1].last = header.first - 1
            segment = RawSegment(header.first, path)
            self._raw.append(segment)
            return segment, handle

    def replace(self, raw: RawSegment, history: HistorySegment) -> None:
        """`history` is durable: forget `raw`, and keep its blocks for the next segment."""
        with self._lock:
            self._raw.remove(raw)
            bisect.insort(self._history, history)
            if self._has_spare:
                self._fs.unlink(raw.path)
            else:
                self._fs.rename(raw.path, self._spare)
                # Flushed before the spare gets its next name: a crash in between would
                # otherwise leave one file under two names.
                self._fs.flush_directory(self._layout.log)
                self._has_spare = True

    def provide_spare(self) -> None:
        """Raises `OSError`; `ENOSPC` is no harm, the next call tries again."""
        with self._lock:
            if not self._has_spare:
                self._make_spare()

    def release_spare(self) -> bool:
        """Give its room back, for a change that is promised and must be put in place."""
        with self._lock:
            if not self._has_spare:
                return False
            self._has_spare = False
            self._fs.unlink(self._spare)
            return True

    def _make_spare(self) -> None:
        """Written full of zeros, not just reserved: reserved blocks are still a change of
        metadata at the first write to each, and that is what a flush would wait for."""
        fs = self._fs
        unfinished = f"{self._layout.staging}/spare"
        if fs.exists(unfinished):
            fs.unlink(unfinished)
        handle = fs.create(unfinished)
        try:
            for offset in range(0, self._segment_bytes, len(_ZEROS)):
                size = min(len(_ZEROS), self._segment_bytes - offset)
                write_all(fs, handle, _ZEROS[:size], offset)
            fs.flush(handle)
        except OSError:
            fs.close(handle)
            fs.unlink(unfinished)
            raise
        fs.close(handle)
        fs.rename(unfinished, self._spare)
        self._has_spare = True
