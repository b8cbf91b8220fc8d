"""What the scrub finds, what it does about it, and what it leaves alone."""

from collections.abc import Callable

import orjson
import pytest
from tests.support.scrubbing import (
    find_path,
    findings,
    kinds,
    overwrite,
    paths,
    repair,
    scrub,
)
from tests.support.simulated_fs import CrashPlan, SimulatedFs
from tests.support.stepped_element import (
    ELEMENT_ROOT,
    Element,
    Ids,
    check_element,
    read_state,
)

from artstore.core.errors import (
    DigestMismatch,
    FileDamaged,
    FileDeleted,
    SizeMismatch,
    Unavailable,
)
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import ScrubRequest, ScrubState
from artstore.storage.engine import sidecar
from artstore.storage.engine.record import BadRecord
from artstore.storage.engine.refusals import LogCorrupt

SMALL = b"a letter of some length"
LARGE = bytes(range(256)) * 40


@pytest.fixture
def filled(element: Element, ids: Ids) -> Element:
    for number in range(3):
        element.put((ids.new(), SMALL + bytes([number]), "letter.pdf"))
    element.upload(ids.new(), LARGE)
    element.clock.advance(hours=30)
    element.put((ids.new(), b"", "empty"))
    element.change(element.oracle.ids[0], tags=("blue",))
    element.delete(element.oracle.ids[1])
    element.engine.checkpoint()
    return element


def test_a_whole_element_has_no_findings(filled: Element) -> None:
    assert scrub(filled.engine) == []
    status = filled.engine.scrub.status()
    assert (status.state, status.findings, status.open_findings) == (ScrubState.IDLE, 0, 0)
    assert status.checked_files == 5
    assert status.checked_bytes > len(LARGE)
    assert status.last_completed_at == filled.clock.now()
    assert status.progress_after == filled.oracle.ids[-1]
    check_element(filled.engine, filled.oracle)


def first_of(element: Element) -> FileId:
    return element.oracle.ids[0]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a flipped bit": (lambda data: bytes([data[0] ^ 1]) + data[1:], "digest"),
    "truncated": (lambda data: data[:-1], "instead of"),
    "emptied": (lambda data: b"", "instead of"),
    "extended": (lambda data: data + b"\0", "instead of"),
    "zeroed": (lambda data: bytes(len(data)), "digest"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_content_is_told_and_set_aside(
    filled: Element, fs: SimulatedFs, damage: str
) -> None:
    change, cause = DAMAGES[damage]
    path = find_path(fs, f"{first_of(filled)}.pdf")
    damaged = change(SMALL + b"\0")
    overwrite(fs, path, damaged)

    found = scrub(filled.engine)
    assert kinds(found) == [("damaged", first_of(filled))]
    assert cause in found[0]["cause"]
    assert found[0]["path"] == path.removeprefix(f"{ELEMENT_ROOT}/")
    assert not fs.exists(path)
    kept = f"{ELEMENT_ROOT}/quarantine/{first_of(filled)}/{path.rpartition('/')[2]}"
    assert bytes(fs._file(fs.open(kept)).current) == damaged
    with pytest.raises(FileDamaged):
        filled.engine.contents.open(first_of(filled))


def test_a_second_pass_does_not_tell_it_again(filled: Element, fs: SimulatedFs) -> None:
    overwrite(fs, find_path(fs, f"{first_of(filled)}.pdf"), b"x")
    assert len(scrub(filled.engine)) == 1
    for _ in range(2):
        filled.clock.advance(days=1)
        assert scrub(filled.engine) == []
        assert filled.engine.scrub.status().open_findings == 1


def test_a_restart_and_a_power_cut_forget_nothing(filled: Element, fs: SimulatedFs) -> None:
    overwrite(fs, find_path(fs, f"{first_of(filled)}.pdf"), b"x")
    scrub(filled.engine)
    left = SimulatedFs(fs.image(CrashPlan(set(), {})))
    again = Element(left, filled.oracle, filled.clock)

    assert kinds(findings(again.engine)) == [("damaged", first_of(filled))]
    assert again.engine.scrub.status().open_findings == 1
    assert again.engine.scrub.status().last_completed_at == filled.clock.now()
    with pytest.raises(FileDamaged):
        again.engine.contents.open(first_of(filled))
    again.clock.advance(days=1)
    assert scrub(again.engine) == []


def test_missing_content(filled: Element, fs: SimulatedFs) -> None:
    fs.unlink(find_path(fs, f"{first_of(filled)}.pdf"))
    assert kinds(scrub(filled.engine)) == [("missing_content", first_of(filled))]


def test_a_file_of_which_nothing_is_left(filled: Element, fs: SimulatedFs) -> None:
    """Only the log knows it."""
    for suffix in (".pdf", ".attr.json"):
        fs.unlink(find_path(fs, f"{first_of(filled)}{suffix}"))
    found = scrub(filled.engine)
    assert kinds(found) == [("missing_content", first_of(filled))]
    filled.clock.advance(days=1)
    assert scrub(filled.engine) == []
    assert filled.engine.scrub.status().open_findings == 1


def test_content_without_a_record(filled: Element, fs: SimulatedFs) -> None:
    path = find_path(fs, f"{filled.oracle.ids[2]}.attr.json")
    fs.unlink(path)
    assert sorted(kinds(scrub(filled.engine))) == [
        ("missing_content", filled.oracle.ids[2]),
        ("surplus", filled.oracle.ids[2]),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "data/2026/11/22/19/notes.txt",
        "data/2026/11/22/19/{other}.bak",
        "data/2026/11/23/x",
        "data/lost+found",
        "log/copy of the log",
        "data/2026/11/22/19/01a204bc-d9d3-7009-8001-020304050607.pdf",
    ],
)
def test_what_belongs_nowhere(filled: Element, fs: SimulatedFs, name: str) -> None:
    name = name.format(other=filled.oracle.ids[0])
    path = f"{ELEMENT_ROOT}/{name}"
    if not fs.exists(path.rpartition("/")[0]):
        fs.make_directory(path.rpartition("/")[0])
    fs.close(fs.create(path))
    found = scrub(filled.engine)
    assert [(detail["finding"], detail["path"]) for detail in found] == [("surplus", name)]

    filled.clock.advance(days=1)
    fs.unlink(path)
    assert [detail["finding"] for detail in scrub(filled.engine)] == ["repaired"]
    assert filled.engine.scrub.status().open_findings == 0
    check_element(filled.engine, filled.oracle)


def test_content_that_outlived_its_deletion(filled: Element, fs: SimulatedFs) -> None:
    deleted = filled.oracle.ids[1]
    attr = find_path(fs, f"{deleted}.attr.json")
    fs.close(fs.create(attr.replace(".attr.json", ".pdf")))
    assert kinds(scrub(filled.engine)) == [("surplus", deleted)]


def test_a_deletion_that_is_on_its_way_is_no_damage(
    filled: Element, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tombstone is in place and its content goes next, while somebody looks."""
    deleted = filled.oracle.ids[1]
    path = find_path(fs, f"{deleted}.attr.json").replace(".attr.json", ".pdf")
    fs.close(fs.create(path))
    claims = filled.engine._foundation.claims
    take = claims.take

    def take_when_it_is_through(file_id: FileId) -> None:
        if file_id == deleted and fs.exists(path):
            fs.unlink(path)
        take(file_id)

    monkeypatch.setattr(claims, "take", take_when_it_is_through)
    assert scrub(filled.engine) == []


def test_the_record_of_another_file(filled: Element, fs: SimulatedFs) -> None:
    mine, other = (
        find_path(fs, f"{file_id}.attr.json")
        for file_id in (filled.oracle.ids[0], filled.oracle.ids[2])
    )
    overwrite(fs, mine, bytes(fs._file(fs.open(other)).current))
    assert kinds(scrub(filled.engine)) == [("wrong_attr", first_of(filled))]
    with pytest.raises(FileDamaged):
        filled.engine.reading.record(first_of(filled))


def test_a_record_that_is_older_than_the_log(filled: Element, fs: SimulatedFs) -> None:
    """A lost write: sealed, whole, and not what was promised."""
    path = find_path(fs, f"{first_of(filled)}.attr.json")
    record = filled.engine.reading.record(first_of(filled))
    older = record.model_copy(update={"revision": 1, "tags": ()})
    overwrite(fs, path, sidecar.seal(older.to_json()))
    found = scrub(filled.engine)
    assert kinds(found) == [("attr_damaged", first_of(filled))]
    assert "revision 1, the log says 2" in found[0]["cause"]

    repair(filled, first_of(filled), SMALL + b"\0", record)
    assert filled.engine.reading.record(first_of(filled)) == record
    check_element(filled.engine, filled.oracle)


def test_swapped_contents(filled: Element, fs: SimulatedFs) -> None:
    one, two = (
        find_path(fs, f"{file_id}.pdf") for file_id in (filled.oracle.ids[0], filled.oracle.ids[2])
    )
    contents = [bytes(fs._file(fs.open(path)).current) for path in (one, two)]
    overwrite(fs, one, contents[1])
    overwrite(fs, two, contents[0])
    assert kinds(scrub(filled.engine)) == [
        ("damaged", filled.oracle.ids[0]),
        ("damaged", filled.oracle.ids[2]),
    ]


def test_a_damaged_element_file(filled: Element, fs: SimulatedFs) -> None:
    path = f"{ELEMENT_ROOT}/element.json"
    whole = bytes(fs._file(fs.open(path)).current)
    overwrite(fs, path, whole.replace(b'"edit-1"', b'"edit-2"'))
    assert [detail["finding"] for detail in scrub(filled.engine)] == ["element_damaged"]
    filled.clock.advance(days=1)
    overwrite(fs, path, whole)
    assert [detail["finding"] for detail in scrub(filled.engine)] == ["repaired"]


# --- repair -------------------------------------------------------------------------------


@pytest.mark.parametrize("scrubbed", [True, False], ids=["found before", "found by nobody"])
def test_a_repair_makes_it_whole(filled: Element, fs: SimulatedFs, *, scrubbed: bool) -> None:
    path = find_path(fs, f"{first_of(filled)}.pdf")
    overwrite(fs, path, b"x" * (len(SMALL) + 1))
    if scrubbed:
        scrub(filled.engine)
    repair(filled, first_of(filled), SMALL + b"\0")

    check_element(filled.engine, filled.oracle)
    assert kinds(findings(filled.engine))[-1] == ("repaired", first_of(filled))
    assert filled.engine.scrub.status().open_findings == 0
    assert len(paths(fs, f"{ELEMENT_ROOT}/quarantine")) == 1
    filled.clock.advance(days=1)
    assert scrub(filled.engine) == []
    filled.engine.checkpoint()
    assert paths(fs, f"{ELEMENT_ROOT}/tmp") == []


def test_a_repair_is_durable(filled: Element, fs: SimulatedFs) -> None:
    fs.unlink(find_path(fs, f"{first_of(filled)}.pdf"))
    scrub(filled.engine)
    repair(filled, first_of(filled), SMALL + b"\0")
    left = SimulatedFs(fs.image(CrashPlan(set(), {})))
    again = Element(left, filled.oracle, filled.clock)
    check_element(again.engine, filled.oracle)
    assert again.engine.scrub.status().open_findings == 0


@pytest.mark.parametrize(
    ("copy", "refusal"),
    [(SMALL + b"\1", DigestMismatch), (SMALL, SizeMismatch), (b"", SizeMismatch)],
)
def test_a_bad_copy_repairs_nothing(
    filled: Element, fs: SimulatedFs, copy: bytes, refusal: type[Exception]
) -> None:
    fs.unlink(find_path(fs, f"{first_of(filled)}.pdf"))
    scrub(filled.engine)
    with pytest.raises(refusal):
        repair(filled, first_of(filled), copy)
    with pytest.raises(FileDamaged):
        filled.engine.contents.open(first_of(filled))
    assert filled.engine.scrub.status().open_findings == 1
    assert paths(fs, f"{ELEMENT_ROOT}/tmp") == []


def test_a_whole_file_is_not_replaced(filled: Element, fs: SimulatedFs) -> None:
    repair(filled, first_of(filled), SMALL + b"\0")
    assert not fs.exists(f"{ELEMENT_ROOT}/quarantine")
    check_element(filled.engine, filled.oracle)


def test_a_damaged_record_needs_a_whole_one(filled: Element, fs: SimulatedFs) -> None:
    path = find_path(fs, f"{first_of(filled)}.attr.json")
    record = filled.engine.reading.record(first_of(filled))
    other = filled.engine.reading.record(filled.oracle.ids[2])
    overwrite(fs, path, b"{}\n")
    assert kinds(scrub(filled.engine)) == [("attr_damaged", first_of(filled))]
    for given in (None, other):
        with pytest.raises(FileDamaged):
            filled.engine.repairs.begin(first_of(filled), given)

    repair(filled, first_of(filled), SMALL + b"\0", record)
    check_element(filled.engine, filled.oracle)
    kept = f"{ELEMENT_ROOT}/quarantine/{first_of(filled)}/{path.rpartition('/')[2]}"
    assert bytes(fs._file(fs.open(kept)).current) == b"{}\n"


def test_deleted_files_are_not_brought_back(filled: Element) -> None:
    with pytest.raises(FileDeleted):
        filled.engine.repairs.begin(filled.oracle.ids[1])


def test_a_file_that_reads_well_again_is_closed(filled: Element, fs: SimulatedFs) -> None:
    path = find_path(fs, f"{first_of(filled)}.attr.json")
    whole = bytes(fs._file(fs.open(path)).current)
    overwrite(fs, path, b"{}\n")
    scrub(filled.engine)
    overwrite(fs, path, whole)
    filled.clock.advance(days=1)
    assert kinds(scrub(filled.engine)) == [("repaired", first_of(filled))]


def test_a_deletion_takes_the_damaged_bytes_too(filled: Element, fs: SimulatedFs) -> None:
    overwrite(fs, find_path(fs, f"{first_of(filled)}.pdf"), b"x")
    scrub(filled.engine)
    filled.delete(first_of(filled))

    assert paths(fs, f"{ELEMENT_ROOT}/quarantine") == []
    assert kinds(findings(filled.engine))[-1] == ("quarantined_cleared", first_of(filled))
    assert filled.engine.scrub.status().open_findings == 0
    check_element(filled.engine, filled.oracle)


def test_a_deletion_cut_short_is_finished_by_the_next_pass(
    filled: Element, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwrite(fs, find_path(fs, f"{first_of(filled)}.pdf"), b"x")
    scrub(filled.engine)
    with monkeypatch.context() as patch:
        patch.setattr(filled.engine.changes._docket, "close_deleted", lambda file_id: None)
        filled.delete(first_of(filled))
    assert len(paths(fs, f"{ELEMENT_ROOT}/quarantine")) == 2
    scrub(filled.engine)
    assert paths(fs, f"{ELEMENT_ROOT}/quarantine") == []


# --- the course of a pass -----------------------------------------------------------------


def test_a_pass_goes_on_where_it_was_interrupted(
    filled: Element, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = filled.engine
    engine.scrub.command(ScrubRequest(action="start", rate_bytes_per_s=1 << 40))
    half = filled.oracle.ids[2]
    monkeypatch.setattr(
        engine.scrub, "_is_wanted", lambda number: engine.scrub.status().progress_after != half
    )
    assert not engine.scrub.run_pass()

    fs.kill()
    again = Element(fs, filled.oracle, filled.clock)
    status = again.engine.scrub.status()
    assert (status.state, status.progress_after, status.checked_files) == (
        ScrubState.RUNNING,
        half,
        3,
    )
    overwrite(fs, find_path(fs, f"{first_of(filled)}.pdf"), b"x")
    again.engine.scrub._pace.rate_per_s = 1 << 40
    assert again.engine.scrub.run_pass()
    assert again.engine.scrub.status().checked_files == 5
    assert findings(again.engine) == [], "what lies before is looked at in the next pass"


def test_a_pause_lasts_over_a_restart(filled: Element) -> None:
    filled.engine.scrub.command(ScrubRequest(action="start"))
    filled.engine.scrub.command(ScrubRequest(action="pause"))
    assert not filled.engine.scrub.run_pass()
    filled.engine.close()
    again = Element(filled.fs, filled.oracle, filled.clock)
    assert again.engine.scrub.status().state is ScrubState.PAUSED
    assert again.engine.scrub.command(ScrubRequest(action="resume")).state is ScrubState.RUNNING


def test_a_state_that_cannot_be_read_begins_anew(filled: Element, fs: SimulatedFs) -> None:
    scrub(filled.engine)
    filled.engine.close()
    overwrite(fs, f"{ELEMENT_ROOT}/scrub.json", b"\0" * 50)
    again = Element(fs, filled.oracle, filled.clock)
    assert again.engine.scrub.status().last_completed_at is None
    assert scrub(again.engine) == []


def test_a_finding_that_the_log_cannot_take_is_told_later(
    filled: Element, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwrite(fs, find_path(fs, f"{first_of(filled)}.pdf"), b"x")
    monkeypatch.setattr(filled.engine.changes._docket, "_report", _refusing)
    assert scrub(filled.engine) == []
    assert filled.engine.scrub.status().open_findings == 1
    monkeypatch.undo()
    assert kinds(scrub(filled.engine)) == [("damaged", first_of(filled))]
    assert scrub(filled.engine) == []


def _refusing(detail: object) -> int:
    from artstore.core.errors import NoRoom

    raise NoRoom("full")


def test_the_findings_are_what_the_format_says(filled: Element, fs: SimulatedFs) -> None:
    overwrite(fs, find_path(fs, f"{first_of(filled)}.pdf"), b"x")
    detail = scrub(filled.engine)[0]
    assert set(detail) == {"finding", "file_id", "path", "cause"}
    marker = orjson.loads(
        bytes(fs._file(fs.open(f"{ELEMENT_ROOT}/quarantine/{first_of(filled)}.json")).current)
    )
    assert marker["seq"] == filled.engine.head
    assert marker["set_aside"] in [
        path.removeprefix(f"{ELEMENT_ROOT}/") for path in paths(fs, f"{ELEMENT_ROOT}/quarantine")
    ]


def test_reading_and_scrub_agree(filled: Element, fs: SimulatedFs) -> None:
    record_json = filled.state(first_of(filled))[0]
    assert FileRecord.from_json(record_json) == filled.engine.reading.record(first_of(filled))
    assert read_state(filled.engine, first_of(filled)) == filled.state(first_of(filled))


def test_the_way_out_of_a_damaged_log(filled: Element, fs: SimulatedFs, ids: Ids) -> None:
    """As docs/operations/scrub.md says."""
    path = next(path for path in paths(fs, f"{ELEMENT_ROOT}/log") if path.endswith(".log"))
    content = bytearray(fs._file(fs.open(path)).current)
    content[4200] ^= 1
    overwrite(fs, path, bytes(content))
    filled.engine.scrub.command(ScrubRequest(action="start", rate_bytes_per_s=1 << 40))
    filled.engine.scrub.run_pass()
    assert [known.finding for known in filled.engine.scrub._ledger.all()] == ["log_damaged"]
    while filled.engine._foundation.segments.raw_count == 1:
        filled.put((ids.new(), b"z" * 3000, "z.bin"))
    with pytest.raises(BadRecord):
        filled.engine.checkpoint()
    filled.engine.close()
    with pytest.raises(LogCorrupt):
        Element(fs, filled.oracle, filled.clock)

    fs.rename(path, f"{ELEMENT_ROOT}/damaged.log")
    again = Element(fs, filled.oracle, filled.clock)
    check_files(again)
    filled.clock.advance(days=1)
    found = scrub(again.engine)
    assert "are in no file of the log" in str(found)


def check_files(element: Element) -> None:
    """The feed has lost its beginning, the files nothing."""
    for file_id, state in element.oracle.settled.items():
        assert read_state(element.engine, file_id) == state


def test_what_is_repaired_while_it_is_looked_at_stays(
    filled: Element, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the second look and the claim. The record is the same before and after."""
    path = find_path(fs, f"{first_of(filled)}.pdf")
    overwrite(fs, path, b"x" * (len(SMALL) + 1))
    take, repaired = filled.engine._foundation.claims.take, []

    def repair_first(file_id: FileId) -> None:
        if not repaired:
            repaired.append(file_id)
            repair(filled, first_of(filled), SMALL + b"\0")
        take(file_id)

    monkeypatch.setattr(filled.engine._foundation.claims, "take", repair_first)
    assert kinds(scrub(filled.engine)) == [("repaired", first_of(filled))]
    assert fs.exists(path)
    check_element(filled.engine, filled.oracle)


def test_after_a_fault_nothing_is_judged(filled: Element, fs: SimulatedFs) -> None:
    """A change may be half in its place, and the next start finishes it."""
    fs.unlink(find_path(fs, f"{first_of(filled)}.pdf"))
    filled.engine._writer.fail("the volume is gone", OSError(5, "injected"))
    filled.engine.scrub.command(ScrubRequest(action="start", rate_bytes_per_s=1 << 40))
    with pytest.raises(Unavailable):
        filled.engine.scrub.run_pass()
    assert filled.engine.scrub.status().open_findings == 0
    assert filled.engine.scrub.status().state is ScrubState.RUNNING


def test_what_the_disk_does_not_give_stays_where_it_is(
    filled: Element, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = find_path(fs, f"{first_of(filled)}.pdf")
    number = fs._find(path)
    read = fs.read

    def bad_sector(handle: int, size: int, offset: int) -> bytes:
        if fs._handles[handle] == number:
            raise OSError(5, "Input/output error")
        return read(handle, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(fs, "read", bad_sector)
        found = scrub(filled.engine)
    assert kinds(found) == [("unreadable", first_of(filled))]
    assert "Input/output error" in found[0]["cause"]
    assert fs.exists(path)
    filled.clock.advance(days=1)
    assert kinds(scrub(filled.engine)) == [("repaired", first_of(filled))]
