"""The change feed: the log as others read it, raw segments and history alike."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from artstore.core.errors import PositionGone
from artstore.core.logging import get_logger
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.history import HistoryDamaged, HistoryReader, sequence_of
from artstore.storage.engine.record import (
    BadRecord,
    Codec,
    feed_line,
    read_records,
)
from artstore.storage.engine.segments import HistorySegment, RawSegment, Segments

PAGE_BYTES_MAX: Final = 8 << 20
"""A page ends after the line that reaches this, whatever the limit of lines."""

WINDOW_BYTES: Final = 1 << 18
"""Of the log, read at once: who follows it closely finds a few records and then nothing yet."""


class FeedPage(NamedTuple):
    """`position` is where the reader stands after `lines`: nothing up to there is left out.

    It may lie behind the last line, since the log holds more than changes.
    """

    lines: list[bytes]
    position: int


class Feed:
    def __init__(self, fs: Fs, segments: Segments, codec: Codec, head: Callable[[], int]) -> None:
        """`head`: the last change that may be shown."""
        self._fs = fs
        self._segments = segments
        self._codec = codec
        self._head = head
        self._history = HistoryReader(fs)

    @property
    def oldest(self) -> int:
        """Reading is possible after this position: behind the last gap."""
        oldest = self._head()
        for segment in reversed(self._segments.snapshot()):
            last = segment.last if segment.last is not None else self._head()
            if last < oldest:
                break
            oldest = segment.first - 1
        return oldest

    def changes(self, after: int, limit: int) -> FeedPage:
        """Up to `limit` lines, oldest first; none if nothing is newer.

        Raises:
            PositionGone: `after` is not in this history: older than it, or ahead of it.
        """
        head = self._head()
        if after > head or after < self.oldest:
            raise PositionGone(f"the feed can be read after {self.oldest} up to {head}")
        lines: list[bytes] = []
        size = 0
        while after < head and len(lines) < limit and size < PAGE_BYTES_MAX:
            segment = self._segment_with(after + 1)
            page = self._read(segment, after, head, limit - len(lines), PAGE_BYTES_MAX - size)
            if page is None:
                continue
            lines += page
            size += sum(map(len, page))
            last = segment.last if segment.last is not None else head
            # An unfinished page stopped at a limit; a finished one may end in markers.
            unfinished = len(lines) >= limit or size >= PAGE_BYTES_MAX
            after = sequence_of(lines[-1]) if unfinished else min(last, head)
        return FeedPage(lines, after)

    def _segment_with(self, sequence: int) -> RawSegment | HistorySegment:
        for segment in reversed(self._segments.snapshot()):
            if segment.first <= sequence:
                return segment
        raise PositionGone("the feed does not hold this position any more")

    def _read(
        self,
        segment: RawSegment | HistorySegment,
        after: int,
        head: int,
        limit: int,
        bytes_max: int,
    ) -> list[bytes] | None:
        """`None`: the segment became history meanwhile, look again."""
        page: list[bytes] = []
        size = 0
        try:
            for line in self._lines(segment, after, head):
                page.append(line)
                size += len(line)
                if len(page) >= limit or size >= bytes_max:
                    break
        except (FileNotFoundError, BadRecord):
            if self._is_current(segment):
                raise
            return None
        except HistoryDamaged as error:
            get_logger().error("history is damaged", segment=segment.first, cause=str(error))
            raise PositionGone("this part of the history is damaged") from error
        return page

    def _is_current(self, segment: RawSegment | HistorySegment) -> bool:
        return any(segment is other for other in self._segments.snapshot())

    def _lines(
        self, segment: RawSegment | HistorySegment, after: int, head: int
    ) -> Iterator[bytes]:
        if isinstance(segment, HistorySegment):
            yield from self._history.lines_after(segment, after)
            return
        last = min(head, segment.last if segment.last is not None else head)
        handle = self._fs.open(segment.path)
        try:
            first, offset = segment.place_before(after + 1)
            records = read_records(
                self._fs,
                handle,
                self._codec,
                offset=offset,
                sequence=first,
                previous_crc=None,
                window_bytes=WINDOW_BYTES,
            )
            for record in records:
                segment.read_until = (record.sequence + 1, record.next)
                if record.sequence > after and (line := feed_line(record)) is not None:
                    yield line
                if record.sequence >= last:
                    return
        finally:
            self._fs.close(handle)
