"""Goal: a mode and a retention bind every operation there is, and a change of mode is durable,
told in the feed, and never in force untold for longer than a start takes.
"""

import contextlib
from collections.abc import Callable
from datetime import timedelta

import orjson
import pytest
from tests.support.simulated_fs import CrashPlan, SimulatedFs
from tests.support.stepped_element import (
    FixedClock,
    Ids,
    SteppedEngine,
    make_record,
    options,
    read_state,
)

from artstore.core.errors import (
    ArtStoreError,
    ConfirmationRequired,
    FileExists,
    ModeForbids,
    NoRoom,
    RetentionForbids,
)
from artstore.core.model.element import StorageMode
from artstore.core.model.file import Deletion, FileChange, FileRecord, Hold
from artstore.core.model.retention import Retention
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome

EDIT, RW, RO, AR = StorageMode.EDIT, StorageMode.RW, StorageMode.RO, StorageMode.AR
ROOT = "/srv/second"
WAY = {EDIT: [], RW: [], RO: [RO], AR: [RO, AR]}

DAY = timedelta(days=1)
RETENTIONS = {
    "none": lambda now: Retention(),
    "over": lambda now: Retention(policy="P1D", mode="compliance", retain_until=now - DAY),
    "running": lambda now: Retention(policy="P1D", mode="compliance", retain_until=now + DAY),
    "permanent": lambda now: Retention(policy="permanent", mode="compliance"),
}


def open_element(fs: SimulatedFs, clock: FixedClock, mode: StorageMode) -> SteppedEngine:
    return SteppedEngine.open(options(ROOT, mode=mode), fs, clock)


def change_mode(engine: Engine, mode: StorageMode, *, confirmed: bool = True) -> None:
    engine.modes.change(mode, by="chief", reason="full", confirmed=confirmed, trace="ab" * 16)


def put(engine: SteppedEngine, record: FileRecord, content: bytes) -> None:
    answers: list[Outcome] = []
    engine.new_files.put(record, content, None, answers.append)
    engine.step()
    if isinstance(answers[0], ArtStoreError):
        raise answers[0]


def upload(engine: SteppedEngine, record: FileRecord, content: bytes) -> None:
    upload = engine.large_files.begin(record.file_id, len(content), record.sha256)
    assert not isinstance(upload, tuple), "it is there already"
    upload.write(content)
    upload.finish()
    engine.large_files.finish(upload, record, None)


def notes(engine: SteppedEngine) -> list[dict[str, object]]:
    lines = [orjson.loads(line) for line in engine.feed.changes(0, 100).lines]
    return [line for line in lines if line["type"] == "mode_changed"]


@pytest.fixture
def second(fs: SimulatedFs, clock: FixedClock, quiet_logs: None) -> SteppedEngine:
    return open_element(fs, clock, RW)


Operation = Callable[[SteppedEngine, FileRecord, FileRecord], object]

DELETIONS: dict[str, Operation] = {
    "delete": lambda engine, stored, _: engine.changes.delete(
        stored.file_id, by="a", reason="", trace=None
    ),
    "take over a tombstone": lambda engine, stored, _: engine.changes.take_over(
        stored.model_copy(
            update={
                "revision": stored.revision + 1,
                "deleted": Deletion(at=stored.uploaded_at, by="a", reason=""),
            }
        ),
        None,
    ),
}
CREATIONS: dict[str, Operation] = {
    "put": lambda engine, _, new: put(engine, new, b"new"),
    "upload": lambda engine, _, new: upload(engine, new, b"new"),
}
CHANGES: dict[str, Operation] = {
    "change": lambda engine, stored, _: engine.changes.change(
        stored.file_id, FileChange(tags=("t",)), None
    ),
}
OVERWRITES: dict[str, Operation] = {
    "put over": lambda engine, stored, _: put(
        engine, make_record(stored.file_id, b"other", FixedClock()), b"other"
    ),
    "upload over": lambda engine, stored, _: upload(
        engine, make_record(stored.file_id, b"other", FixedClock()), b"other"
    ),
}


def wanted_refusals(
    kind: str, mode: StorageMode, retention: str, *, is_held: bool
) -> tuple[type[ArtStoreError], ...]:
    """What may be said; nothing if the operation is allowed."""
    takes_files = mode in (EDIT, RW)
    if kind in OVERWRITES:
        return (FileExists, ModeForbids)
    if kind in DELETIONS:
        keeps = is_held or retention in ("running", "permanent")
        if mode is EDIT and not keeps:
            return ()
        return (ModeForbids, RetentionForbids)
    return () if takes_files else (ModeForbids,)


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("retention", RETENTIONS)
@pytest.mark.parametrize("mode", list(StorageMode))
@pytest.mark.parametrize("kind", [*DELETIONS, *CREATIONS, *CHANGES, *OVERWRITES])
def test_no_operation_gets_around_the_rules(
    *,
    fs: SimulatedFs,
    clock: FixedClock,
    ids: Ids,
    quiet_logs: None,
    kind: str,
    mode: StorageMode,
    retention: str,
    is_held: bool,
) -> None:
    engine = open_element(fs, clock, EDIT if mode is EDIT else RW)
    holds = (Hold(id="1", matter="case", by="counsel", at=clock.now()),) if is_held else ()
    stored = make_record(ids.new(), b"x", clock, retention=RETENTIONS[retention](clock.now()))
    stored = stored.model_copy(update={"holds": holds})
    put(engine, stored, b"x")
    for step in WAY[mode]:
        change_mode(engine, step)
    before = read_state(engine, stored.file_id)
    head = engine.head
    refusals = wanted_refusals(kind, mode, retention, is_held=is_held)
    operation = {**DELETIONS, **CREATIONS, **CHANGES, **OVERWRITES}[kind]

    with pytest.raises(refusals) if refusals else contextlib.nullcontext():
        operation(engine, stored, make_record(ids.new(), b"new", clock))

    if refusals:
        assert engine.head == head, "a refused operation is in the log"
        assert read_state(engine, stored.file_id) == before
    assert (read_state(engine, stored.file_id) or (b"", None))[1] == (
        None if kind in DELETIONS and not refusals else b"x"
    )


def test_a_change_is_told_and_kept_over_a_restart(
    second: SteppedEngine, fs: SimulatedFs, clock: FixedClock
) -> None:
    change_mode(second, RO)
    change_mode(second, RO)
    change_mode(second, RW)
    change_mode(second, RO)

    told = [(note["detail"], note["trace_id"]) for note in notes(second)]
    who = {"by": "chief", "reason": "full"}
    assert told == [
        ({"from": "rw", "to": "ro", **who}, "ab" * 16),
        ({"from": "ro", "to": "rw", **who}, "ab" * 16),
        ({"from": "rw", "to": "ro", **who}, "ab" * 16),
    ]
    second.close()
    again = open_element(fs, clock, RW)
    assert again.info().mode is RO
    assert not again.info().writable


def test_without_confirmation_nothing_changes(second: SteppedEngine) -> None:
    with pytest.raises(ConfirmationRequired):
        change_mode(second, RO, confirmed=False)
    assert second.info().mode is RW
    assert notes(second) == []


def test_what_cannot_be_told_does_not_happen(
    second: SteppedEngine, fs: SimulatedFs, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise NoRoom("full")

    monkeypatch.setattr(second._foundation.submission, "note", full)
    with pytest.raises(NoRoom):
        change_mode(second, RO)
    assert second.info().mode is RW
    second.close()
    assert open_element(fs, clock, RW).info().mode is RW


def test_a_cut_between_change_and_record_is_told_by_the_next_start(
    second: SteppedEngine, fs: SimulatedFs, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(Exception):
        pass

    def cut(*_: object) -> int:
        raise PowerCut

    monkeypatch.setattr(second._foundation.submission, "note", cut)
    with pytest.raises(PowerCut):
        change_mode(second, RO)
    fs.kill()
    after = SimulatedFs(fs.image(CrashPlan(set(), {})))

    again = open_element(after, clock, RW)
    assert again.info().mode is RO
    again.modes.tell()
    assert [note["detail"]["to"] for note in notes(again)] == ["ro"]  # type: ignore[index]
    again.modes.tell()
    assert len(notes(again)) == 1


def test_files_are_taken_again_after_the_way_back(
    second: SteppedEngine, ids: Ids, clock: FixedClock
) -> None:
    change_mode(second, RO)
    with pytest.raises(ModeForbids):
        put(second, make_record(ids.new(), b"x", clock), b"x")
    change_mode(second, RW)
    put(second, make_record(ids.new(), b"x", clock), b"x")
