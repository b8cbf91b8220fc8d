"""The write end of the log: one group of records, one write, one flush."""

from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

from artstore.core.metrics import WAL_FSYNC_DURATION, WAL_GROUP_SIZE
from artstore.storage.engine.fs import NO_ROOM_ERRORS, Fs, write_all
from artstore.storage.engine.record import BLOCK_BYTES, FLAG_GROUP_END, Codec, RecordType, block_end
from artstore.storage.engine.segments import RawSegment, SegmentHeader, Segments


class LogFull(Exception):
    """No room for the group. The log is as it was."""


class LogFailed(Exception):
    """A write or flush failed: what is on the disk behind the last group is unknown."""


class Body(NamedTuple):
    """`payload`: its pieces, in order."""

    type: RecordType
    flags: int
    payload: Sequence[bytes]


class Log:
    """Used by one thread, the writer."""

    def __init__(
        self,
        fs: Fs,
        segments: Segments,
        log_id: bytes,
        *,
        segment_bytes: int,
        next_sequence: int,
        crc: int,
    ) -> None:
        self._fs = fs
        self._segments = segments
        self._log_id = log_id
        self._codec = Codec(log_id)
        self._segment_bytes = segment_bytes
        self._next_sequence = next_sequence
        self._crc = crc
        self._segment: RawSegment | None = None
        self._handle = -1
        self._offset = 0

    @property
    def next_sequence(self) -> int:
        return self._next_sequence

    def append(self, bodies: Sequence[Body]) -> int:
        """Make `bodies` durable, in order. Returns the sequence of the first.

        Raises:
            LogFull: None of them was written.
            LogFailed: None of them may be counted on, and the log must not be used again.
        """
        first = self._next_sequence
        data, crc, places = self._encode(bodies)
        segment = self._segment_for(len(data))
        try:
            write_all(self._fs, self._handle, data, self._offset)
        except OSError as error:
            # The next group goes to the same place and covers whatever was written.
            raise _failure(error) from error
        self._flush(len(bodies))
        for sequence, relative in enumerate(places, first):
            segment.note(sequence, self._offset + relative)
        self._offset += len(data)
        self._next_sequence += len(bodies)
        self._crc = crc
        return first

    def close(self) -> None:
        if self._segment is not None:
            self._fs.close(self._handle)
            self._segment = None

    def _encode(self, bodies: Sequence[Body]) -> tuple[bytes, int, list[int]]:
        """The group as it is written, the CRC of its last record, and where each begins."""
        crc = self._crc
        durable = self._next_sequence - 1
        pieces: list[bytes] = []
        places: list[int] = []
        length = 0
        last = self._next_sequence + len(bodies) - 1
        for sequence, (kind, flags, payload) in enumerate(bodies, self._next_sequence):
            header, crc = self._codec.header(
                kind,
                flags | FLAG_GROUP_END if sequence == last else flags,
                payload,
                sequence=sequence,
                durable=durable,
                previous_crc=crc,
            )
            places.append(length)
            pieces.append(header)
            pieces += payload
            length += len(header) + sum(map(len, payload))
        # Padded to whole blocks: a part of one would have to be read from the disk first.
        pieces.append(bytes(block_end(length) - length))
        return b"".join(pieces), crc, places

    def _segment_for(self, size: int) -> RawSegment:
        if self._segment is not None and self._offset + size <= self._segment_bytes:
            return self._segment
        if BLOCK_BYTES + size > self._segment_bytes:
            raise LogFull(f"a group of {size} bytes does not fit into a log segment")
        header = SegmentHeader(self._next_sequence, self._crc)
        try:
            self._segments.provide_spare()
        except OSError as error:
            raise _failure(error) from error
        try:
            segment, handle = self._segments.begin(self._log_id, header)
        except OSError as error:
            raise LogFailed(str(error)) from error
        if self._segment is not None:
            self._fs.close(self._handle)
        self._segment, self._handle, self._offset = segment, handle, BLOCK_BYTES
        return segment

    def _flush(self, records: int) -> None:
        started_s = perf_counter()
        try:
            self._fs.flush(self._handle)
        except OSError as error:
            # Whatever the number says, also ENOSPC: dirty pages may be gone.
            raise LogFailed(str(error)) from error
        WAL_FSYNC_DURATION.observe(perf_counter() - started_s)
        WAL_GROUP_SIZE.observe(records)


def _failure(error: OSError) -> LogFull | LogFailed:
    if error.errno in NO_ROOM_ERRORS:
        return LogFull(str(error))
    return LogFailed(str(error))
