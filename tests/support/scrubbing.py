"""Runs the scrub of an element without threads, and reads what it told."""

from typing import Any

import orjson
from tests.support.simulated_fs import File, SimulatedFs
from tests.support.stepped_element import ELEMENT_ROOT, Element, SteppedEngine

from artstore.core.model.ids import FileId
from artstore.core.model.scrub import ScrubRequest
from artstore.storage.engine.upload import Upload

UNBOUNDED = 1 << 40


def scrub(engine: SteppedEngine) -> list[dict[str, Any]]:
    """One whole pass. Returns the findings that the log got."""
    head = engine.head
    engine.scrub.command(ScrubRequest(action="start", rate_bytes_per_s=UNBOUNDED))
    # Where the clock stands still nothing is saved up again.
    engine.scrub._pace._saved = UNBOUNDED
    assert engine.scrub.run_pass()
    return findings(engine, head)


def findings(engine: SteppedEngine, after: int = 0) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in engine.feed.changes(after, 10_000).lines]
    return [line["detail"] for line in lines if line["type"] == "finding"]


def kinds(found: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(detail["finding"], detail["file_id"]) for detail in found]


def file_at(fs: SimulatedFs, path: str) -> File:
    node = fs.nodes[fs._find(path)]
    assert isinstance(node, File)
    return node


def overwrite(fs: SimulatedFs, path: str, content: bytes) -> None:
    """Damage, as a disk does it: no call of the element's."""
    file = file_at(fs, path)
    file.durable, file.pending, file.current = content, [], bytearray(content)


def find_path(fs: SimulatedFs, suffix: str) -> str:
    return next(path for path in paths(fs, f"{ELEMENT_ROOT}/data") if path.endswith(suffix))


def paths(fs: SimulatedFs, directory: str) -> list[str]:
    result: list[str] = []
    for name in fs.names(directory):
        path = f"{directory}/{name}"
        node = fs.nodes[fs._find(path)]
        result += [path] if isinstance(node, File) else paths(fs, path)
    return result


def repair(element: Element, file_id: FileId, content: bytes, record: Any = None) -> None:
    incoming = element.engine.repairs.begin(file_id, record)
    assert isinstance(incoming, Upload)
    incoming.write(content)
    element.engine.repairs.finish(incoming, record)
