"""Goal: an element that an earlier version wrote is read to the last byte.

Method: `samples/element-v1` is a whole element as version 1 of every format leaves it after a
crash: element.json with a change of mode that nobody was told of yet, raw segments and history,
files, a tombstone, and a scrub in the middle of a pass with an open finding. This version starts
on a copy of it.
"""

import shutil
from pathlib import Path

import orjson
import pytest
from tests.support.scrubbing import UNBOUNDED, file_at, find_path, overwrite, paths, scrub
from tests.support.simulated_fs import Image, SimulatedFs
from tests.support.stepped_element import (
    ELEMENT_ROOT,
    Element,
    FixedClock,
    Ids,
    Oracle,
    SteppedEngine,
    options,
    read_state,
)

from artstore.core.errors import FileDamaged
from artstore.core.model.element import StorageMode
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import ScrubRequest
from artstore.storage.engine import identity

SAMPLE = Path(__file__).parent / "samples" / "element-v1"
SEGMENT_BYTES = 16 << 10
FEED_ID = "000102030405060708090a0b0c0d0e0f"


def sample_ids() -> list[FileId]:
    ids = Ids(FixedClock())
    return [ids.new() for _ in range(8)]


def image() -> Image:
    """The sample on a simulated disk."""
    found: Image = {"/srv": None, ELEMENT_ROOT: None, f"{ELEMENT_ROOT}/tmp": None}
    for path in sorted(SAMPLE.rglob("*")):
        content = None if path.is_dir() else path.read_bytes()
        found[f"{ELEMENT_ROOT}/{path.relative_to(SAMPLE)}"] = content
    return found


def opened() -> SteppedEngine:
    return SteppedEngine.open(
        options(segment_bytes=SEGMENT_BYTES), SimulatedFs(image()), FixedClock()
    )


def test_the_sample_has_every_format() -> None:
    names = {path.relative_to(SAMPLE).as_posix() for path in SAMPLE.rglob("*")}
    for suffix in (".attr.json", ".log", ".jsonl.gz", ".txt", ".pdf"):
        assert any(name.endswith(suffix) for name in names), suffix
    damaged = sample_ids()[3]
    assert {"element.json", "scrub.json", f"quarantine/{damaged}.json"} <= names
    assert b'"untold"' in (SAMPLE / "element.json").read_bytes()


def test_every_file_is_read() -> None:
    letter, changed, deleted, damaged, *others = sample_ids()
    engine = opened()

    record, content = read_state(engine, letter) or (b"", None)
    assert content == "Акт приёмки № 7\n".encode()
    assert orjson.loads(record)["original_filename"] == "Акт приёмки.txt"
    assert orjson.loads((read_state(engine, changed) or (b"",))[0])["tags"] == ["2026"]
    assert (read_state(engine, deleted) or (b"", b""))[1] is None
    with pytest.raises(FileDamaged):
        read_state(engine, damaged)
    assert all((read_state(engine, other) or (b"", b""))[1] == b"z" * 3000 for other in others)
    assert len(engine.reading.files(None, 100)) == 8


def test_the_feed_is_whole() -> None:
    engine = opened()
    lines = [orjson.loads(line) for line in engine.feed.changes(0, 100).lines]
    stored = [line["record"]["file_id"] for line in lines if line["type"] == "created"]
    assert sorted(stored) == sorted(sample_ids())
    assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
    kinds = {line["type"] for line in lines}
    assert kinds == {"created", "updated", "deleted", "finding"}


def test_the_mode_is_kept_and_told() -> None:
    engine = opened()
    assert engine.info().mode is StorageMode.EDIT
    assert engine.feed_id == FEED_ID
    engine.modes.tell()
    told = orjson.loads(engine.feed.changes(0, 100).lines[-1])
    assert (told["type"], told["detail"]["reason"]) == ("mode_changed", "the disk is full")


def test_the_scrub_goes_on_and_remembers() -> None:
    engine = opened()
    status = engine.scrub.status()
    assert status.open_findings == 1
    assert status.last_completed_at is not None


def test_another_version_is_refused() -> None:
    """Not guessed at."""
    disk = image()
    path = f"{ELEMENT_ROOT}/element.json"
    disk[path] = (disk[path] or b"").replace(b'"format_version": 1', b'"format_version": 2')
    with pytest.raises(Exception, match="unknown format"):
        SteppedEngine.open(options(), SimulatedFs(disk), FixedClock())


def write_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """How it was made. A sample of an old version is never made again."""
    monkeypatch.setattr(identity.secrets, "token_hex", lambda _: FEED_ID)
    fs, clock = SimulatedFs(), FixedClock()
    fs.make_directory("/srv")
    element = Element(fs, Oracle(), clock, segment_bytes=SEGMENT_BYTES)
    letter, changed, deleted, damaged, *others = sample_ids()
    element.put((letter, "Акт приёмки № 7\n".encode(), "Акт приёмки.txt"))
    element.put((changed, b"a contract", "contract.pdf"), (deleted, b"a draft", "draft.txt"))
    element.change(changed, tags=("2026",))
    element.delete(deleted)
    element.upload(damaged, b"film" * 500, "film.mp4")
    for other in others:
        element.put((other, b"z" * 3000, "z.bin"))
        element.engine.checkpoint()
    overwrite(fs, find_path(fs, ".mp4"), b"Film" + b"film" * 499)
    scrub(element.engine)
    element.engine.checkpoint()
    element.engine.scrub.command(ScrubRequest(action="start", rate_bytes_per_s=UNBOUNDED))
    change = identity.ModeChange(
        before=StorageMode.EDIT, after=StorageMode.EDIT, by="clerk", reason="the disk is full"
    )
    element.engine._standing.keep(
        element.engine._standing.element.model_copy(update={"untold": change})
    )
    shutil.rmtree(SAMPLE, ignore_errors=True)
    for path in paths(fs, ELEMENT_ROOT):
        name = path.removeprefix(f"{ELEMENT_ROOT}/")
        if name.startswith("tmp/") or name in ("lock", "log/spare"):
            continue
        target = SAMPLE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes(file_at(fs, path).current))
