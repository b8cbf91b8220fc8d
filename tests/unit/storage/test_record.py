"""Records of the log: what is written is read, and nothing else is taken for a record."""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import google_crc32c
import orjson
import pytest
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import FixedClock, Ids, make_record

from artstore.core.model.event import Change
from artstore.core.model.file import Deletion, Origin
from artstore.storage.engine import sidecar
from artstore.storage.engine.record import (
    BLOCK_BYTES,
    HEADER,
    MAGIC,
    NO_TRACE,
    BadRecord,
    ChangePayload,
    Codec,
    Record,
    RecordType,
    decode_change,
    encode_change,
    feed_line,
    find_later,
    read_records,
)
from artstore.storage.engine.recovery import placeable_of
from artstore.storage.engine.refusals import LogCorrupt
from artstore.storage.engine.segments import SegmentHeader, decode_header, encode_header

LOG_ID = bytes(range(16))
SAMPLES = Path(__file__).parent / "samples"
FINDING = {
    "finding": "damaged",
    "file_id": "01a204bc-d9d3-7009-8001-020304050607",
    "path": "data/2026/11/22/19/01a204bc-d9d3-7009-8001-020304050607.pdf",
    "cause": "the content does not match its digest",
}
ORIGIN = Origin(
    token_id="4f1c", address="203.0.113.9", services=("edge/edge-1", "ingester/ingester-1")
)
MODE = {"from": "rw", "to": "ro", "by": "person:7", "reason": "full"}


def encode(sequence: int, payload: bytes, crc: int, durable: int = 0) -> tuple[bytes, int]:
    return encoded(
        Codec(LOG_ID), RecordType.CREATED, 1, payload, (sequence, durable), previous_crc=crc
    )


def encoded(
    codec: Codec,
    kind: RecordType,
    flags: int,
    payload: bytes,
    place: tuple[int, int],
    *,
    previous_crc: int,
) -> tuple[bytes, int]:
    """`place`: its sequence, and the last one that was durable when it was written."""
    sequence, durable = place
    header, crc = codec.header(
        kind,
        flags,
        (payload[:2], payload[2:]),
        sequence=sequence,
        durable=durable,
        previous_crc=previous_crc,
    )
    return header + payload, crc


def chain(payloads: list[bytes]) -> bytes:
    data, crc = b"", 7
    for sequence, payload in enumerate(payloads, 1):
        piece, crc = encode(sequence, payload, crc)
        data += piece
    return data


def read(data: bytes, previous_crc: int | None = 7) -> list[Record]:
    fs = SimulatedFs()
    handle = fs.create("/log")
    fs.write(handle, data, 0)
    found: list[Record] = []
    records = read_records(
        fs, handle, Codec(LOG_ID), offset=0, sequence=1, previous_crc=previous_crc
    )
    while True:
        try:
            found.append(next(records))
        except BadRecord as end:
            where = end.offset
            break
    assert where == (found[-1].next if found else 0)
    return found


def test_a_chain_is_read_back_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = [random.Random(n).randbytes(n * 37 % 900) for n in range(60)]
    for window in (40, 64, 1000, 1 << 20):
        monkeypatch.setattr("artstore.storage.engine.record._WINDOW_BYTES", window)
        assert [record.payload for record in read(chain(payloads))] == payloads


def test_the_first_record_must_continue_what_came_before() -> None:
    assert read(chain([b"a"]), previous_crc=8) == []
    assert len(read(chain([b"a"]), previous_crc=None)) == 1


def test_a_gap_in_the_sequence_ends_the_chain() -> None:
    first, crc = encode(1, b"a", 7)
    third, _ = encode(3, b"b", crc)
    assert len(read(first + third)) == 1


def test_records_of_another_log_are_no_records() -> None:
    """A user cannot upload content that recovery takes for records: the id is not known."""
    foreign, _ = encoded(
        Codec(b"another log's id"), RecordType.CREATED, 1, b"x", (9, 8), previous_crc=7
    )
    assert find_later(foreign, Codec(LOG_ID), 5) is None
    assert find_later(foreign, Codec(b"another log's id"), 5) is not None


def test_later_records_prove_durability_only_if_they_say_so() -> None:
    same_group, _ = encode(6, b"x", 7, durable=4)
    next_group, _ = encode(6, b"x", 7, durable=5)
    noise = random.Random(1).randbytes(3000) + MAGIC * 50

    assert find_later(noise + same_group, Codec(LOG_ID), 5) is None
    found = find_later(noise + same_group + noise + next_group, Codec(LOG_ID), 5)
    assert found is not None
    assert found.durable == 5


@pytest.mark.parametrize("seed", range(200))
def test_noise_is_never_a_record(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(chain([b"abc", b"defghi"]))
    for _ in range(chance.randrange(1, 5)):
        data[chance.randrange(HEADER.size)] = chance.randrange(256)
    assert [record.payload for record in read(bytes(data))] in ([], [b"abc", b"defghi"])


def test_records_of_version_1_are_still_read() -> None:
    """A segment as version 1 wrote it. It must be readable for as long as elements exist."""
    data = (SAMPLES / "segment-v1.log").read_bytes()
    header = decode_header(data[:44], LOG_ID, "sample")
    assert header == SegmentHeader(first=41, previous_crc=0x01020304)

    created, updated, deleted, checkpoint = islice(sample_records(data), 4)
    assert placeable_of(created).content == b"hello"
    assert placeable_of(updated).present_name == f"{placeable_of(created).record.file_id}.txt"
    assert placeable_of(deleted).record.deleted is not None
    assert checkpoint.type is RecordType.CHECKPOINT


def test_records_of_version_2_are_still_read() -> None:
    """Version 2 added two types of record."""
    data = (SAMPLES / "segment-v2.log").read_bytes()
    header = decode_header(data[:44], LOG_ID, "sample")
    assert header == SegmentHeader(first=41, previous_crc=0x01020304)
    finding, mode, checkpoint = islice(sample_records(data), 3)
    lines = [orjson.loads(feed_line(note) or b"") for note in (finding, mode)]
    assert [line["type"] for line in lines] == ["finding", "mode_changed"]
    assert [line["detail"] for line in lines] == [FINDING, MODE]
    assert feed_line(checkpoint) is None


def test_records_of_version_3_are_still_read() -> None:
    """Version 3 added where an upload came from."""
    data = (SAMPLES / "segment-v3.log").read_bytes()
    header = decode_header(data[:44], LOG_ID, "sample")
    assert header == SegmentHeader(first=41, previous_crc=0x01020304)
    assert encode_header(LOG_ID, header) == data[:44]

    with_origin, without = islice(sample_records(data), 2)
    assert placeable_of(with_origin).content == b"hello"
    assert placeable_of(with_origin).record_json == placeable_of(without).record_json
    told, silent = (Change.model_validate_json(feed_line(r) or b"") for r in (with_origin, without))
    assert told.origin == ORIGIN
    assert silent.origin is None
    assert told.record == silent.record


def test_a_segment_of_a_later_version_is_not_touched() -> None:
    later = bytearray((SAMPLES / "segment-v2.log").read_bytes()[:44])
    later[11] = 4
    later[40:] = google_crc32c.value(bytes(later[:40])).to_bytes(4)
    with pytest.raises(LogCorrupt, match="format 4"):
        decode_header(bytes(later), LOG_ID, "sample")


def sample_records(data: bytes) -> Iterator[Record]:
    fs = SimulatedFs()
    handle = fs.create("/log")
    fs.write(handle, data, 0)
    return read_records(
        fs, handle, Codec(LOG_ID), offset=BLOCK_BYTES, sequence=41, previous_crc=0x01020304
    )


def test_an_attr_json_of_version_1_is_still_read() -> None:
    data = (SAMPLES / "attr-v1.json").read_bytes()
    file_id = "01a204bc-d9d3-7009-8001-020304050607"
    record = sidecar.parse(data, file_id)
    assert record.original_filename == "Договор 17.txt"
    assert sidecar.seal(record.to_json()) == data


def write_sample_2() -> None:
    """How the sample of version 2 was made."""
    codec, crc, data = Codec(LOG_ID), 0x01020304, b""
    notes = [(RecordType.FINDING, 0, FINDING), (RecordType.MODE, 2, MODE)]
    for sequence, (kind, flags, detail) in enumerate(notes, 41):
        payload = _payload(orjson.dumps(detail) + b"\n", b"")
        piece, crc = encoded(codec, kind, flags, payload, (sequence, 40), previous_crc=crc)
        data += piece
    data = data.ljust(BLOCK_BYTES, b"\0")
    marker, _ = encoded(
        codec, RecordType.CHECKPOINT, 2, bytes(7) + b"\x2a", (43, 42), previous_crc=crc
    )
    header = encode_header(LOG_ID, SegmentHeader(41, 0x01020304)).ljust(BLOCK_BYTES, b"\0")
    (SAMPLES / "segment-v2.log").write_bytes(header + data + marker)


def write_samples() -> None:
    """How those of version 1 were made. Samples of old versions are never made again."""
    clock = FixedClock()
    name = "Договор 17.txt"
    created = make_record("01a204bc-d9d3-7009-8001-020304050607", b"hello", clock, name)
    renamed = created.model_copy(update={"revision": 2, "original_filename": "x.md"})
    tombstone = renamed.model_copy(
        update={"revision": 3, "deleted": Deletion(at=clock.now(), by="clerk", reason="wish")}
    )
    bodies = [
        (RecordType.CREATED, 1, _payload(created.to_json(), b"hello")),
        (RecordType.UPDATED, 0, _payload(renamed.to_json(), f"{created.file_id}.txt".encode())),
        (RecordType.DELETED, 2, _payload(tombstone.to_json(), b"")),
    ]
    codec, crc, data = Codec(LOG_ID), 0x01020304, b""
    for sequence, (kind, flags, payload) in enumerate(bodies, 41):
        piece, crc = encoded(codec, kind, flags, payload, (sequence, 40), previous_crc=crc)
        data += piece
    data = data.ljust(-(-len(data) // BLOCK_BYTES) * BLOCK_BYTES, b"\0")
    marker, _ = encoded(
        codec, RecordType.CHECKPOINT, 2, bytes(7) + b"\x2b", (44, 43), previous_crc=crc
    )
    header = encode_header(LOG_ID, SegmentHeader(41, 0x01020304)).ljust(BLOCK_BYTES, b"\0")
    (SAMPLES / "segment-v1.log").write_bytes(header + data + marker)
    (SAMPLES / "attr-v1.json").write_bytes(sidecar.seal(created.to_json()))


def write_version_3_sample() -> None:
    """How `segment-v3.log` was made."""
    record = make_record(Ids(FixedClock()).new(), b"hello", FixedClock())
    data, crc = b"", 0x01020304
    for sequence, origin in enumerate((orjson.dumps(ORIGIN.__dict__) + b"\n", b""), 41):
        payload = _payload(record.to_json(), b"hello", origin)
        flags = 1 if sequence == 41 else 3
        piece, crc = encoded(
            Codec(LOG_ID), RecordType.CREATED, flags, payload, (sequence, 40), previous_crc=crc
        )
        data += piece
    header = encode_header(LOG_ID, SegmentHeader(41, 0x01020304)).ljust(BLOCK_BYTES, b"\0")
    (SAMPLES / "segment-v3.log").write_bytes(header + data)


def _payload(record_json: bytes, tail: bytes, origin_json: bytes = b"") -> bytes:
    change = ChangePayload(1_795_375_800_000_000, NO_TRACE, record_json, tail, origin_json)
    return b"".join(encode_change(change))


def test_a_change_comes_back(ids: Ids) -> None:
    payload = ChangePayload(-5, bytes(range(16)), b'{"a":1}\n', b"\0content")
    assert decode_change(b"".join(encode_change(payload))) == payload
    told = payload._replace(origin_json=b'{"token_id":"t"}\n')
    assert decode_change(b"".join(encode_change(told))) == told
