"""The lines of an export, as they are read back. Nothing in them is believed here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson

from artstore.core.audit.export import EXPORT_FORMAT
from artstore.core.canonical_json import NotCanonical, spell
from artstore.core.model.audit import commitment
from artstore.core.tlog.merkle.hashing import HASH_BYTES, leaf_hash
from artstore.core.tlog.merkle.proofs import PROOF_HASHES_MAX
from artstore.core.tlog.notes.encoding import decode_base64
from artstore.core.tlog.tiles import TILE_WIDTH, split_hashes

LINE_BYTES_MAX = 1 << 20
"""A record has at most 64 KiB, a checkpoint 128 KiB, and both grow when they stand in JSON."""


@dataclass(frozen=True, slots=True)
class Header:
    note: bytes
    first: int
    end: int
    size: int


@dataclass(frozen=True, slots=True)
class Hashes:
    """The leaf hashes of one bundle, and the proof that they are the log's."""

    bundle: int
    leaves: list[bytes]
    proof: list[bytes]


@dataclass(frozen=True, slots=True)
class Record:
    leaf: bytes
    """Hash of the event that stands in the line."""
    claimed: int
    """The index that the line says."""
    disclosed: int
    withheld: int
    """Personal facts that are shown, and that are not."""
    flaw: str | None
    """What in the line, besides the event, contradicts the event."""


@dataclass(frozen=True, slots=True)
class Earlier:
    note: bytes
    timestamp: bytes | None
    """A time stamp over just these bytes."""


@dataclass(frozen=True, slots=True)
class Final:
    note: bytes
    digest: str
    """Hex of SHA-256 over all lines before this one."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Not a line that an export can have."""


Line = Header | Hashes | Record | Earlier | Final | Unreadable


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Lines with their newlines; one that is too long comes in parts, none of which is valid."""
    while line := file.readline(LINE_BYTES_MAX):
        yield line


def read_line(line: bytes) -> Line:
    try:
        value = orjson.loads(line)
        if not isinstance(value, dict):
            return Unreadable()
        parsed = _read(value)
        spelled = spell(value) + b"\n"
    except (ValueError, TypeError, KeyError, AttributeError, NotCanonical):
        return Unreadable()
    if spelled == line:
        return parsed
    if isinstance(parsed, Record):
        flaw = "the line is not written as this program writes it"
        return Record(parsed.leaf, parsed.claimed, parsed.disclosed, parsed.withheld, flaw)
    return Unreadable()


def _read(value: dict[str, Any]) -> Line:
    match tuple(value):
        case ("event", "hash", "index", "personal"):
            return _read_record(value)
        case ("leaves", "proof", "tile"):
            return _read_hashes(value)
        case ("earlier",) | ("earlier", "timestamp"):
            stamp = value.get("timestamp")
            return Earlier(value["earlier"].encode(), decode_base64(stamp) if stamp else None)
        case ("checkpoint", "sha256"):
            return Final(value["checkpoint"].encode(), value["sha256"])
        case ("checkpoint", "end", "first", "format", "size"):
            return _read_header(value)
        case _:
            return Unreadable()


def _read_header(value: dict[str, Any]) -> Line:
    numbers = [value["first"], value["end"], value["size"]]
    if value["format"] != EXPORT_FORMAT or not all(_is_index(number) for number in numbers):
        return Unreadable()
    return Header(value["checkpoint"].encode(), *numbers)


def _read_hashes(value: dict[str, Any]) -> Line:
    leaves = decode_base64(value["leaves"])
    proof = [decode_base64(item) for item in value["proof"]]
    whole = len(leaves) % HASH_BYTES == 0 and 0 < len(leaves) <= TILE_WIDTH * HASH_BYTES
    short = len(proof) <= PROOF_HASHES_MAX and all(len(item) == HASH_BYTES for item in proof)
    if not (whole and short and _is_index(value["tile"])):
        return Unreadable()
    return Hashes(value["tile"], split_hashes(leaves), proof)


def _read_record(value: dict[str, Any]) -> Line:
    event, personal, claimed = value["event"], value["personal"], value["index"]
    if not _is_index(claimed):
        return Unreadable()
    leaf = leaf_hash(spell(event))
    commitments: dict[str, str] = event["personal"]
    flaw = None
    if value["hash"] != leaf.hex():
        flaw = "the hash in the line is not that of the event"
    for field, fact in personal.items():
        if not _opens(commitments.get(field), field, fact):
            flaw = f"the personal fact {field} is not the one that was recorded"
    return Record(leaf, claimed, len(personal), len(commitments) - len(personal), flaw)


def _opens(committed: str | None, field: str, fact: dict[str, str]) -> bool:
    if fact.keys() != {"salt", "value"}:
        return False
    return committed == commitment(field, fact["salt"], fact["value"])


def _is_index(value: object) -> bool:
    return type(value) is int and value >= 0
