"""Writes an export of the audit log: lines of JSON that anybody can check with public keys alone.

Each line is one RFC 8785 object. In order:

* the header, with the checkpoint that everything is proven against;
* for each 256 records a line with their hashes and the proof that leads to that checkpoint, and
  then the records, one a line;
* between records, checkpoints that were signed when the log had just that many records, some
  of them with the time stamp of an authority;
* the checkpoint once more, and a digest of all before it: it shows a transmission error even
  where nothing that is proven was hit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from heapq import merge
from itertools import chain
from typing import Any

from artstore.core.audit.stamps import Stamp
from artstore.core.canonical_json import spell
from artstore.core.model.audit import AuditEvent, Disclosures
from artstore.core.tlog.merkle.hashing import leaf_hash
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.encoding import encode_base64
from artstore.core.tlog.notes.note import Note
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.tiles import TILE_WIDTH

EXPORT_FORMAT = "artstore-audit-export/1"

DisclosuresOf = Callable[[list[str]], Mapping[str, Disclosures]]
"""Personal facts by event id, for up to 256 events. Those that were erased are left out."""


def no_disclosures(_: list[str]) -> Mapping[str, Disclosures]:
    return {}


def export_lines(
    reader: TreeReader,
    note: Note,
    *,
    earlier: Iterable[Note] = (),
    stamps: Iterable[Stamp] = (),
    disclosures_of: DisclosuresOf = no_disclosures,
    first: int = 0,
    end: int | None = None,
) -> Iterator[bytes]:
    """Records [first, end) of a log, with all that is needed to check them. Constant memory.

    Args:
        reader: The log at the size of the checkpoint in `note`.
        note: With all cosignatures that there are.
        earlier: Notes of earlier checkpoints, the smallest first. With witnesses' signatures
            they show up to which record a history stands, should a later one be false.
        stamps: The smallest state first.
    """
    end = reader.size if end is None else end
    if not 0 <= first <= end <= reader.size:
        raise ValueError(f"a log of {reader.size} records has no records {first} to {end}")
    checkpoint = note.to_bytes().decode()
    head = {"end": end, "first": first, "format": EXPORT_FORMAT, "size": reader.size}
    digest = sha256()
    for line in chain(
        [_line({"checkpoint": checkpoint, **head})],
        _body(reader, _Earlier(earlier, stamps), disclosures_of, first, end),
    ):
        digest.update(line)
        yield line
    yield _line({"checkpoint": checkpoint, "sha256": digest.hexdigest()})


def _body(
    reader: TreeReader,
    pending: "_Earlier",
    disclosures_of: DisclosuresOf,
    first: int,
    end: int,
) -> Iterator[bytes]:
    yield from pending.up_to(first, seen=False)
    past_last = -(-end // TILE_WIDTH) if first < end else 0
    for bundle in range(first // TILE_WIDTH, past_last):
        yield _tile_line(reader, bundle)
        start = max(first, bundle * TILE_WIDTH)
        stop = min(end, (bundle + 1) * TILE_WIDTH)
        for index, line in enumerate(_records(reader, start, stop, disclosures_of), start):
            yield line
            yield from pending.up_to(index + 1, seen=True)


class _Earlier:
    """Lines of earlier checkpoints, each with the size it stands at."""

    def __init__(self, notes: Iterable[Note], stamps: Iterable[Stamp]) -> None:
        plain = ((_size(note), {"earlier": note.to_bytes().decode()}) for note in notes)
        stamped = ((stamp.size, _stamp_fields(stamp)) for stamp in stamps)
        self._lines = merge(plain, stamped, key=lambda line: line[0])
        self._next = next(self._lines, None)

    def up_to(self, size: int, *, seen: bool) -> Iterator[bytes]:
        """Lines of the checkpoints of up to `size` records; none for those not `seen`, which
        lie before the first record of the export."""
        while self._next is not None:
            stands_at, fields = self._next
            if stands_at > size:
                return
            if seen and stands_at == size:
                yield _line(fields)
            self._next = next(self._lines, None)


def _size(note: Note) -> int:
    return Checkpoint.parse(note.text).size


def _stamp_fields(stamp: Stamp) -> dict[str, str]:
    return {"earlier": stamp.note.decode(), "timestamp": encode_base64(stamp.response)}


def _tile_line(reader: TreeReader, bundle: int) -> bytes:
    return _line(
        {
            "leaves": encode_base64(b"".join(reader.leaves(bundle))),
            "proof": [encode_base64(item) for item in reader.bundle_proof(bundle)],
            "tile": bundle,
        }
    )


def _records(
    reader: TreeReader, start: int, stop: int, disclosures_of: DisclosuresOf
) -> Iterator[bytes]:
    entries = list(reader.entries(start, stop))
    events = [AuditEvent.from_entry(entry) for entry in entries]
    facts = disclosures_of([event.event_id for event in events])
    for index, (entry, event) in enumerate(zip(entries, events, strict=True), start):
        yield record_line(index, entry, facts.get(event.event_id, {}))


def record_line(index: int, entry: bytes, facts: Disclosures) -> bytes:
    """One record as it stands in an export and in a proof bundle.

    The entry is JSON in its one spelling already, so it is put in as it is.
    """
    personal = spell({field.value: fact.model_dump() for field, fact in facts.items()})
    return b'{"event":%b,"hash":"%b","index":%d,"personal":%b}\n' % (
        entry,
        leaf_hash(entry).hex().encode(),
        index,
        personal,
    )


def _line(value: dict[str, Any]) -> bytes:
    return spell(value) + b"\n"
