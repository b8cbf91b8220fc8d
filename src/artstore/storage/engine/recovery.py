"""What a start does with the log it finds: verify, replay, make durable.

Works on what the last checkpoint does not cover, so it takes as long as that is large,
whatever the element holds. Nothing is cut: the segment with a torn tail is closed where its
last whole record ends, and the next record opens a new segment. A crash in here leaves a
state that the next start handles in the same way.
"""

from collections.abc import Iterator
from typing import NamedTuple

from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.storage.engine.backends.base import Backend, Placeable
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import (
    BLOCK_BYTES,
    FLAG_INLINE,
    BadRecord,
    Codec,
    Record,
    RecordType,
    decode_change,
    decode_checkpoint,
    find_later,
    read_records,
)
from artstore.storage.engine.refusals import LogCorrupt
from artstore.storage.engine.segments import (
    SEGMENT_HEADER,
    HistorySegment,
    RawSegment,
    SegmentHeader,
    decode_header,
    parse_name,
)

_DAMAGED = (
    "{}: the record {} at byte {} is damaged, and later ones show that it had been durable;"
    " nothing was changed. Restore the segment from a copy"
)


class FoundLog(NamedTuple):
    """A log whose every record was verified. `covered`: what the last checkpoint reaches."""

    history: list[HistorySegment]
    raw: list[RawSegment]
    next_sequence: int
    crc: int
    covered: int


class _Cursor:
    """Walks the segments in order and keeps what the next record must continue."""

    def __init__(self, next_sequence: int) -> None:
        self.next_sequence = next_sequence
        self.crc: int | None = None
        self.covered = 0

    def pass_record(self, record: Record) -> None:
        self.next_sequence = record.sequence + 1
        self.crc = record.crc
        if record.type is RecordType.CHECKPOINT:
            self.covered = decode_checkpoint(record.payload)


def read_log(fs: Fs, layout: Layout, log_id: bytes) -> FoundLog:
    """Raises:
    LogCorrupt: A record that had been durable is damaged or missing.
    """
    history, raw = _list_segments(fs, layout)
    cursor = _Cursor(raw[0].first if raw else history[-1].last + 1 if history else 1)
    for position, segment in enumerate(raw):
        following = raw[position + 1] if position + 1 < len(raw) else None
        _verify(fs, log_id, segment, following, cursor)
    if raw:
        _check_beginning(history, raw[0], cursor.covered)
    if raw and raw[-1].last is not None and raw[-1].last < raw[-1].first:
        # A head without records: the next segment gets the same name.
        fs.unlink(raw.pop().path)
        fs.flush_directory(layout.log)
    covered = max(cursor.covered, raw[0].first - 1 if raw else cursor.next_sequence - 1)
    return FoundLog(history, raw, cursor.next_sequence, cursor.crc or 0, covered)


def replay(fs: Fs, codec: Codec, found: FoundLog, backend: Backend) -> int:
    """Put everything behind the last checkpoint into place. Returns how many changes."""
    count = 0
    for segment in found.raw:
        assert segment.last is not None
        if segment.last <= found.covered:
            continue
        for record in _records(fs, codec, segment):
            if record.sequence > found.covered and record.type.is_change:
                backend.replay(placeable_of(record))
                count += 1
            if record.sequence == segment.last:
                break
    return count


def clear_staging(fs: Fs, layout: Layout) -> None:
    """Uploads that never got a record, and names that are not needed any more."""
    for name in list(fs.names(layout.staging)):
        fs.unlink(f"{layout.staging}/{name}")


def placeable_of(record: Record) -> Placeable:
    payload = decode_change(record.payload)
    inline = bool(record.flags & FLAG_INLINE)
    return Placeable(
        record.type,
        record.sequence,
        FileRecord.from_json(payload.record_json),
        payload.record_json,
        payload.tail if inline else None,
        None if inline else payload.tail.decode() or None,
    )


def _list_segments(fs: Fs, layout: Layout) -> tuple[list[HistorySegment], list[RawSegment]]:
    history: list[HistorySegment] = []
    raw: list[RawSegment] = []
    for name in list(fs.names(layout.log)):
        match parse_name(layout.log, name):
            case HistorySegment() as segment:
                history.append(segment)
            case RawSegment() as segment:
                raw.append(segment)
            case None if name == "spare":
                # Who knows how far it was filled.
                fs.unlink(f"{layout.log}/{name}")
            case None:
                get_logger().warning("unknown file in the log directory", name=name)
    history.sort()
    raw.sort(key=lambda segment: segment.first)
    written = {segment.first for segment in history}
    redundant = [segment for segment in raw if segment.first in written]
    if redundant:
        # The history's name may only be in memory, if its writer was killed.
        fs.flush_directory(layout.log)
    for segment in redundant:
        fs.unlink(segment.path)
        raw.remove(segment)
    return history, raw


def _check_beginning(history: list[HistorySegment], first: RawSegment, covered: int) -> None:
    """Missing history is lost history; a missing raw segment may be lost documents."""
    last = history[-1].last if history else 0
    if last >= first.first:
        raise LogCorrupt(f"{first.path} and the history overlap")
    if last + 1 < first.first:
        if covered < first.first - 1:
            raise LogCorrupt(f"the log segment before {first.path} is missing; bring it back")
        get_logger().warning("history is missing", after=last, before=first.first)


def _verify(
    fs: Fs, log_id: bytes, segment: RawSegment, following: RawSegment | None, cursor: _Cursor
) -> None:
    """Check `segment` up to the next one, or to the end of the log; note its `last`."""
    handle = fs.open(segment.path)
    try:
        # After a failed flush, memory may hold records that the disk does not.
        fs.forget(handle)
        header = decode_header(fs.read(handle, SEGMENT_HEADER.size, 0), log_id, segment.path)
        _check_header(segment, header, cursor)
        codec = Codec(log_id)
        end = following.first if following else None
        bad = _pass_records(
            read_records(
                fs,
                handle,
                codec,
                offset=BLOCK_BYTES,
                sequence=header.first,
                previous_crc=header.previous_crc,
            ),
            segment,
            end,
            cursor,
        )
        if bad is not None:
            rest = b"" if following else fs.read(handle, fs.size(handle) - bad.offset, bad.offset)
            expected = cursor.next_sequence
            if following or find_later(rest, codec, expected):
                raise LogCorrupt(_DAMAGED.format(segment.path, expected, bad.offset))
        if following is None:
            # If the process was killed, its last records may only be in memory. The next
            # segment will claim that they are durable.
            fs.flush(handle)
        segment.last = cursor.next_sequence - 1
    finally:
        fs.close(handle)


def _check_header(segment: RawSegment, header: SegmentHeader, cursor: _Cursor) -> None:
    chained = cursor.crc is None or header.previous_crc == cursor.crc
    if header.first != segment.first or header.first != cursor.next_sequence or not chained:
        raise LogCorrupt(f"{segment.path} does not continue the segment before it")
    cursor.crc = header.previous_crc


def _pass_records(
    records: Iterator[Record], segment: RawSegment, end: int | None, cursor: _Cursor
) -> BadRecord | None:
    """Verify records until the sequence `end`. Returns where the chain broke before it.

    That is the end of the log, or damage. A group that never became durable may have left
    any of its parts: bad records, and good ones behind them. None of it was ever promised.
    Damage is shown by a record, or another segment, that was begun after the missing record
    had been durable.
    """
    try:
        while cursor.next_sequence != end:
            record = next(records)
            segment.note(record.sequence, record.offset)
            cursor.pass_record(record)
    except BadRecord as bad:
        return bad
    return None


def _records(fs: Fs, codec: Codec, segment: RawSegment) -> Iterator[Record]:
    handle = fs.open(segment.path)
    try:
        yield from read_records(
            fs, handle, codec, offset=BLOCK_BYTES, sequence=segment.first, previous_crc=None
        )
    finally:
        fs.close(handle)
