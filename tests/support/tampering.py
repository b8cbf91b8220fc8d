"""A true export of 1000 audit records, and what forgers need."""

import copy
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import orjson
from tests.support.transparency import WITNESSED, AuditLog

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.export import export_lines
from artstore.core.audit.verification import ExportVerifier
from artstore.core.canonical_json import canonical_json
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.note import Note

T = TypeVar("T")

WHOLE = "ARTSTORE_TAMPER_ALL" in os.environ
"""`make test-tamper`: every case. Otherwise a sample of each kind."""
SAMPLE_EVERY = 1 if WHOLE else 9

ITEMS = (
    "field changed",
    "deleted",
    "swapped",
    "inserted",
    "duplicated",
    "tail cut",
    "older checkpoint",
    "another log's tile",
    "forked view",
    "complete rewrite with the stolen log key",
    "witness rolled back",
    "key substituted",
    "bit flips over tiles",
    "bit flips over checkpoints",
    "bit flips over exports",
)
"""What the suite promises; `test_the_whole_suite` holds it to that."""
CASES: Counter[str] = Counter()

SIZE = 1000
STEP = 25
LOG = AuditLog(SIZE, STEP)


def exported(log: AuditLog, notes: Sequence[Note] | None = None) -> list[bytes]:
    notes = log.notes if notes is None else notes
    lines = export_lines(
        log.log.reader(), notes[-1], earlier=notes[:-1], disclosures_of=log.disclosures_of
    )
    return list(lines)


LINES = exported(LOG)
PLACES = [place for place, line in enumerate(LINES) if line.startswith(b'{"event"')]
"""Where each record stands."""
TILES = [place for place, line in enumerate(LINES) if line.startswith(b'{"leaves"')]
EARLIER = [place for place, line in enumerate(LINES) if line.startswith(b'{"earlier"')]
KNOWN = [Checkpoint.parse(note.text) for note in LOG.notes]


def sampled(cases: Sequence[T]) -> Sequence[T]:
    """All of them, or some from everywhere."""
    return cases[::SAMPLE_EVERY]


def count(item: str, cases: int = 1) -> None:
    assert item in ITEMS, item
    CASES[item] += cases


class States:
    """The verifier before each line of the true export."""

    def __init__(self) -> None:
        verifier = ExportVerifier(WITNESSED)
        self._before: list[ExportVerifier] = []
        for line in LINES:
            self._before.append(copy.copy(verifier))
            verifier.feed(line)

    def defect(self, place: int, lines: Sequence[bytes]) -> DefectFound | None:
        """What is found when `lines` stand from `place` on, up to the end of the file."""
        verifier = copy.copy(self._before[place])
        try:
            for line, following in zip(lines, [*lines[1:], None], strict=True):
                verifier.feed(line, following)
            # A careful forger gives the file the digest that it has.
            verifier.finish(orjson.loads(lines[-1])["sha256"])
        except DefectFound as defect:
            return defect
        return None


STATES = States()


def spelled(value: dict[str, Any]) -> bytes:
    return canonical_json(value) + b"\n"


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in a JSON value."""
    match value:
        case dict() if value:
            for name, item in value.items():
                yield from leaves_of(item, (*path, name))
        case list() if value:
            for number, item in enumerate(value):
                yield from leaves_of(item, (*path, number))
        case _:
            yield path


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy with another value at `path`."""
    if not path:
        return _other(value)
    duplicate = copy.copy(value)
    duplicate[path[0]] = changed(value[path[0]], path[1:])
    return duplicate


def _other(value: Any) -> Any:
    match value:
        case str():
            return value[:-1] + ("0" if value[-1:] != "0" else "1")
        case int():
            return value + 1
        case None:
            return "somebody"
        case list():
            return ["edge/edge-1"]
        case _:
            return {"more": 1}


def assert_named(
    item: str, place: int, lines: Sequence[bytes], index: int, *kinds: DefectKind
) -> None:
    """Found, and record `index` is named."""
    count(item)
    defect = STATES.defect(place, lines)
    assert defect is not None, f"record {index}: nothing was noticed"
    assert defect.kind in kinds, f"record {index}: {defect.kind}: {defect}"
    assert defect.first == index, f"record {index}: named {defect.first}: {defect}"


def fitted(lines: Sequence[bytes]) -> list[bytes]:
    """The same with the digest at the end made to fit."""
    final = orjson.loads(lines[-1])
    final["sha256"] = sha256(b"".join(lines[:-1])).hexdigest()
    return [*lines[:-1], spelled(final)]
