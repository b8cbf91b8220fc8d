"""Judges the log: every record and line, and that none is missing between them.

Says on the way which files the log knows, so that a file of which nothing is left is found
too. Like `inspection` it changes nothing, and on a live element the first look may be wrong.
"""

from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

import orjson

from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.history import HistoryDamaged, HistoryReader, sequence_of
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import (
    BLOCK_BYTES,
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
from artstore.storage.engine.scrub.findings import Finding, Known, Spend, as_text
from artstore.storage.engine.segments import (
    SEGMENT_HEADER,
    HistorySegment,
    RawSegment,
    decode_header,
    parse_name,
)

_SPARE: Final = "spare"


class Covered(NamedTuple):
    """Everything up to `sequence` is in its place."""

    sequence: int


class Ended(NamedTuple):
    """The last record of the log; comes last. Left out when the end was not seen."""

    sequence: int


class Gap(NamedTuple):
    """Changes that are in no segment."""

    first: int
    last: int

    def finding(self, path: str) -> Finding:
        cause = f"the changes {self.first} to {self.last} are in no file of the log"
        return Finding(FindingKind.LOG_DAMAGED, None, path, cause)


Event = Finding | Known | Covered | Ended
Segment = HistorySegment | RawSegment


class LogCheck:
    def __init__(self, fs: Fs, layout: Layout, log_id: bytes, spend: Spend) -> None:
        self._fs = fs
        self._layout = layout
        self._log_id = log_id
        self._codec = Codec(log_id)
        self._spend = spend
        self._last = 0
        self._is_incomplete = False
        """A segment could not be read, or became history before its turn came."""

    def events(self, after: int = 0) -> Iterator[Event]:
        """Args: `after`: history that ends there or before was looked at already."""
        segments, foreign = self._segments()
        yield from foreign
        yield from (gap.finding(self._relative(self._layout.log)) for gap in gaps(segments))
        previous_crc: int | None = None
        for position, segment in enumerate(segments):
            if isinstance(segment, RawSegment):
                following = segments[position + 1] if position + 1 < len(segments) else None
                previous_crc = yield from self._raw(segment, following, previous_crc)
            elif segment.last > after:
                yield from self._history(segment)
            else:
                self._last = segment.last
        if not self._is_incomplete:
            yield Ended(self._last)

    def again(self, finding: Finding) -> bool:
        """Is it still so? A segment that became history, or was being written, is not."""
        segments, foreign = self._segments()
        if finding in foreign:
            return True
        log = self._relative(self._layout.log)
        if finding.path == log:
            return finding in [gap.finding(log) for gap in gaps(segments)]
        for position, segment in enumerate(segments):
            if self._relative(segment.path) != finding.path:
                continue
            following = segments[position + 1] if position + 1 < len(segments) else None
            if isinstance(segment, RawSegment):
                events: Iterator[Event] = self._raw(segment, following, None)
            else:
                events = self._history(segment)
            return any(isinstance(event, Finding) for event in events)
        return False

    def _segments(self) -> tuple[list[Segment], list[Finding]]:
        """In order. A raw segment whose history is written already is left out."""
        found: dict[int, Segment] = {}
        foreign: list[Finding] = []
        for name in list(self._fs.names(self._layout.log)):
            segment = parse_name(self._layout.log, name)
            if segment is None:
                if name != _SPARE:
                    path = self._relative(f"{self._layout.log}/{name}")
                    cause = "this name belongs nowhere"
                    foreign.append(Finding(FindingKind.SURPLUS, None, path, cause))
            elif isinstance(segment, HistorySegment) or segment.first not in found:
                found[segment.first] = segment
        return [found[first] for first in sorted(found)], foreign

    def _history(self, segment: HistorySegment) -> Iterator[Event]:
        last = segment.first - 1
        try:
            self._forget(segment.path)
            for line in HistoryReader(self._fs).lines_after(segment, 0):
                self._spend(len(line))
                last = _next_sequence(line, last, segment)
                yield from _known(last, line)
        except FileNotFoundError:
            self._is_incomplete = True
            return
        except (HistoryDamaged, orjson.JSONDecodeError, OSError) as error:
            yield self._damaged(segment, f"behind the change {last}: {error}")
            return
        self._last = segment.last
        yield Covered(segment.last)

    def _raw(
        self, segment: RawSegment, following: Segment | None, previous_crc: int | None
    ) -> Generator[Event, None, int | None]:
        """Returns the CRC of its last record, or `None` if that is not known."""
        try:
            handle = self._fs.open(segment.path)
        except FileNotFoundError:
            self._is_incomplete = True
            return None
        try:
            self._fs.forget(handle)
            return (yield from self._records(handle, segment, following, previous_crc))
        except OSError as error:
            yield self._damaged(segment, f"it cannot be read: {error.strerror or error}")
            return None
        finally:
            self._fs.close(handle)

    def _records(
        self,
        handle: int,
        segment: RawSegment,
        following: Segment | None,
        previous_crc: int | None,
    ) -> Generator[Event, None, int | None]:
        try:
            data = self._fs.read(handle, SEGMENT_HEADER.size, 0)
            header = decode_header(data, self._log_id, segment.path)
        except LogCorrupt as error:
            yield self._damaged(segment, str(error).removeprefix(f"{segment.path}: "))
            return None
        if header.first != segment.first or previous_crc not in (None, header.previous_crc):
            yield self._damaged(segment, "it does not continue the segment before it")
            return None
        return (yield from self._chain(handle, segment, following, header.previous_crc))

    def _chain(
        self, handle: int, segment: RawSegment, following: Segment | None, crc: int
    ) -> Generator[Event, None, int | None]:
        offset, expected, looked_again_at = BLOCK_BYTES, segment.first, 0
        while following is None or expected < following.first:
            try:
                for record in self._read_from(handle, offset, expected, crc):
                    offset, expected, crc = record.next, record.sequence + 1, record.crc
                    self._last = record.sequence
                    yield from _of_record(record)
                    if following is not None and expected >= following.first:
                        break
            except BadRecord:
                if following is None and not self._was_durable(handle, offset, expected):
                    return crc
                if following is not None or looked_again_at == offset:
                    yield self._damaged(segment, f"the record {expected} at byte {offset}")
                    return None
                # It may have been written between the two looks, and the proof behind it.
                looked_again_at = offset
        return crc

    def _read_from(self, handle: int, offset: int, expected: int, crc: int) -> Iterator[Record]:
        for record in read_records(
            self._fs, handle, self._codec, offset=offset, sequence=expected, previous_crc=crc
        ):
            self._spend(record.next - record.offset)
            yield record

    def _was_durable(self, handle: int, offset: int, expected: int) -> bool:
        """Or is it the end of the log? See `recovery`."""
        rest = self._fs.read(handle, self._fs.size(handle) - offset, offset)
        return find_later(rest, self._codec, expected) is not None

    def _forget(self, path: str) -> None:
        handle = self._fs.open(path)
        try:
            self._fs.forget(handle)
        finally:
            self._fs.close(handle)

    def _damaged(self, segment: Segment, cause: str) -> Finding:
        self._is_incomplete = True
        path = self._relative(segment.path)
        return Finding(FindingKind.LOG_DAMAGED, None, path, f"it is damaged: {cause}")

    def _relative(self, path: str) -> str:
        return as_text(path.removeprefix(f"{self._layout.root}/"))


def gaps(segments: list[Segment]) -> Iterator[Gap]:
    """Between segments, and before the first. Behind a raw one none can be seen by name."""
    expected: int | None = 1
    for segment in segments:
        if expected is not None and segment.first > expected:
            yield Gap(expected, segment.first - 1)
        expected = segment.last + 1 if isinstance(segment, HistorySegment) else None


def _next_sequence(line: bytes, last: int, segment: HistorySegment) -> int:
    sequence = sequence_of(line)
    if not last < sequence <= segment.last:
        raise HistoryDamaged(f"the change {sequence} does not belong here")
    return sequence


def _known(sequence: int, line: bytes) -> Iterator[Known]:
    record = orjson.loads(line).get("record")
    if record is not None:
        yield Known(sequence, FileId(record["file_id"]), record["revision"])


def _of_record(record: Record) -> Iterator[Event]:
    if record.type is RecordType.CHECKPOINT:
        yield Covered(decode_checkpoint(record.payload))
    elif record.type.is_change:
        fields = orjson.loads(decode_change(record.payload).record_json)
        yield Known(record.sequence, FileId(fields["file_id"]), fields["revision"])
