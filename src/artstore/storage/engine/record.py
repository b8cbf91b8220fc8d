"""One record of the log, byte by byte. See docs/formats/log.md.

A record can be checked on its own: it carries the CRC of the one before it, so the chain is
verified without reading that one, and it says which records were durable when it was
written. That tells a torn group (nothing behind it was ever promised) from damage
(something behind it proves that it had been durable).
"""

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

import google_crc32c

from artstore.storage.engine.fs import Fs

MAGIC: Final = b"ArtR"
FORMAT_VERSION: Final = 1
HEADER: Final = struct.Struct(">4sIBBHIQQI")
"""magic, crc, version, type, flags, payload length, sequence, durable, previous crc."""

_CRC_COVERS: Final = 8
"""The CRC is over everything behind itself."""
_COVERED_HEADER: Final = struct.Struct(">BBHIQQI")

PAYLOAD_BYTES_MAX: Final = 1 << 23
"""A record of 1 MiB and an inlined content of at most 4 MiB fit; a larger length is damage."""

_CHANGE: Final = struct.Struct(">q16sI")
"""time in microseconds since 1970, trace id, length of the file's record and its origin."""

_CHECKPOINT: Final = struct.Struct(">Q")

FLAG_INLINE: Final = 1
"""The content stands in the log record, behind the file's record."""

FLAG_GROUP_END: Final = 2
"""The last record of a group: the next one begins with the next block."""

BLOCK_BYTES: Final = 4096
"""What a disk writes at once, at most. A group begins in a block of its own, so no block
that holds promised records is ever written again, and none can be torn."""

NO_TRACE: Final = bytes(16)
_WINDOW_BYTES: Final = 1 << 20


NOTE_BYTES_MAX: Final = 64 << 10
"""What a finding or a change of mode may say, as JSON."""


class RecordType(IntEnum):
    CREATED = 1
    UPDATED = 2
    DELETED = 3
    FINDING = 4
    MODE = 5
    CHECKPOINT = 16

    @property
    def is_change(self) -> bool:
        """Of a file: there is something to put in place. The others are told or counted."""
        return self in (RecordType.CREATED, RecordType.UPDATED, RecordType.DELETED)


_MEMBERS: Final = {
    RecordType.CREATED: (b"created", b"record"),
    RecordType.UPDATED: (b"updated", b"record"),
    RecordType.DELETED: (b"deleted", b"record"),
    RecordType.FINDING: (b"finding", b"detail"),
    RecordType.MODE: (b"mode_changed", b"detail"),
}
"""What each is called in the feed, and the member that says what happened."""


class Record(NamedTuple):
    """`offset` is its place in the segment, `next` that of the one behind it."""

    type: RecordType
    flags: int
    sequence: int
    durable: int
    payload: bytes
    crc: int
    offset: int
    next: int


class BadRecord(Exception):
    """There is no valid record at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"no valid record at byte {offset}")
        self.offset = offset


class ChangePayload(NamedTuple):
    at_us: int
    trace: bytes
    record_json: bytes
    """Of a note: its detail. One JSON object and a newline."""
    tail: bytes
    """With `FLAG_INLINE`, the content. Else where it lies until now: for `created` its name
    in tmp/, for `updated` its former name, if the change gave it another extension."""
    origin_json: bytes = b""
    """Of an upload, how it came (`core.model.file.Origin`): JSON and a newline, or nothing."""


def encode_change(payload: ChangePayload) -> tuple[bytes, ...]:
    """In pieces: a content is copied once, into what is written."""
    at_us, trace, record_json, tail, origin_json = payload
    head = _CHANGE.pack(at_us, trace, len(record_json) + len(origin_json))
    return head, record_json, origin_json, tail


def decode_change(data: bytes) -> ChangePayload:
    at_us, trace, middle, behind = _places(data)
    return ChangePayload(
        at_us, trace, data[_CHANGE.size : middle], data[behind:], data[middle:behind]
    )


def _places(data: bytes) -> tuple[int, bytes, int, int]:
    """Time and trace, and where the file's record and its origin end."""
    at_us, trace, length = _CHANGE.unpack_from(data)
    behind = _CHANGE.size + length
    # JSON has no bare newline inside, so the first one ends the record.
    middle = data.find(b"\n", _CHANGE.size, behind) + 1 or behind
    return at_us, trace, middle, behind


def encode_checkpoint(covers: int) -> bytes:
    return _CHECKPOINT.pack(covers)


def decode_checkpoint(data: bytes) -> int:
    (covers,) = _CHECKPOINT.unpack(data)
    return int(covers)


class Codec:
    """Encodes and checks the records of one log.

    The log's id is mixed into every CRC: a user who uploads a file that looks like log
    records cannot make recovery take its content for some.
    """

    def __init__(self, log_id: bytes) -> None:
        self._seed: int = google_crc32c.value(log_id)

    def header(
        self,
        record_type: RecordType,
        flags: int,
        payload: Sequence[bytes],
        *,
        sequence: int,
        durable: int,
        previous_crc: int,
    ) -> tuple[bytes, int]:
        """What stands before the pieces of `payload`, and the record's CRC, which the next one
        carries."""
        length = sum(map(len, payload))
        covered = _COVERED_HEADER.pack(
            FORMAT_VERSION, record_type, flags, length, sequence, durable, previous_crc
        )
        crc = google_crc32c.extend(self._seed, covered)
        for piece in payload:
            crc = google_crc32c.extend(crc, piece)
        return b"".join((MAGIC, crc.to_bytes(4), covered)), crc

    def decode(self, data: bytes, start: int, offset: int) -> tuple[Record, int]:
        """The record at `data[start:]`, and the CRC it claims its predecessor had.

        Args:
            offset: Where that is in the segment.

        Raises:
            BadRecord: It is not valid on its own.
        """
        body = start + HEADER.size
        if body > len(data):
            raise BadRecord(offset)
        magic, crc, version, kind, flags, length, sequence, durable, previous = HEADER.unpack_from(
            data, start
        )
        end = body + length
        if magic != MAGIC or length > PAYLOAD_BYTES_MAX or end > len(data):
            raise BadRecord(offset)
        found = google_crc32c.extend(self._seed, data[start + _CRC_COVERS : end])
        record_type = _KNOWN_TYPES.get(kind)
        if found != crc or version != FORMAT_VERSION or record_type is None:
            raise BadRecord(offset)
        behind = offset + end - start
        following = block_end(behind) if flags & FLAG_GROUP_END else behind
        payload = data[body:end]
        record = Record(record_type, flags, sequence, durable, payload, crc, offset, following)
        return record, previous


_KNOWN_TYPES: Final = {kind.value: kind for kind in RecordType}


def payload_length(data: bytes, start: int) -> int | None:
    """What the header at `start` says; `None` if there is no believable one."""
    if len(data) - start < HEADER.size or not data.startswith(MAGIC, start):
        return None
    length = int(HEADER.unpack_from(data, start)[5])
    return length if length <= PAYLOAD_BYTES_MAX else None


def read_records(
    fs: Fs,
    handle: int,
    codec: Codec,
    *,
    offset: int,
    sequence: int,
    previous_crc: int | None,
    window_bytes: int = _WINDOW_BYTES,
) -> Iterator[Record]:
    """The records from `offset` on, as far as they are one chain.

    Holds one window of the segment in memory.

    Args:
        sequence: What the first one must have.
        previous_crc: What the first one must continue; `None` in the middle of a segment,
            where it is not known.

    Raises:
        BadRecord: The chain ends at its `offset`: end of the log, torn tail or damage.
    """
    window = b""
    window_offset = offset
    while True:
        try:
            record, previous = codec.decode(window, offset - window_offset, offset)
        except BadRecord:
            # As a rule only the window ends here.
            wanted = HEADER.size + (payload_length(window, offset - window_offset) or 0)
            if window_offset == offset and len(window) >= wanted:
                raise
            window = fs.read(handle, max(wanted, window_bytes), offset)
            window_offset = offset
            if len(window) < wanted:
                raise
            continue
        if record.sequence != sequence or previous_crc not in (None, previous):
            raise BadRecord(offset)
        yield record
        offset, sequence, previous_crc = record.next, sequence + 1, record.crc


def block_end(offset: int) -> int:
    """The first block boundary at or behind `offset`."""
    return -(-offset // BLOCK_BYTES) * BLOCK_BYTES


def find_later(data: bytes, codec: Codec, sequence: int) -> Record | None:
    """A valid record anywhere in `data` which shows that `sequence` had been durable."""
    start = data.find(MAGIC)
    while start >= 0:
        if payload_length(data, start) is not None:
            durable = HEADER.unpack_from(data, start)[7]
            # Cheap test first: a recycled segment is full of older records.
            if durable >= sequence:
                try:
                    return codec.decode(data, start, start)[0]
                except BadRecord:
                    pass
        start = data.find(MAGIC, start + 1)
    return None


def feed_line(record: Record) -> bytes | None:
    """The change or note as a line of the feed; `None` for what is not told.

    The JSON of `core.model.event`.
    """
    names = _MEMBERS.get(record.type)
    if names is None:
        return None
    payload = record.payload
    at_us, trace, middle, behind = _places(payload)
    origin = b'"origin":%b,' % payload[middle : behind - 1] if middle < behind else b""
    return b'{"seq":%d,"type":"%b","at":"%b","trace_id":%b,%b"%b":%b}\n' % (
        record.sequence,
        names[0],
        format_time(at_us).encode(),
        b"null" if trace == NO_TRACE else b'"%b"' % trace.hex().encode(),
        origin,
        names[1],
        payload[_CHANGE.size : middle - 1],
    )


def format_time(at_us: int) -> str:
    seconds, microseconds = divmod(at_us, 1_000_000)
    return f"{_format_second(seconds)}.{microseconds:06d}Z"


@lru_cache(maxsize=16)
def _format_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
