"""`artstore verify`: an element's directory judged from outside, living, stopped, killed or
copied, by anybody who may read it."""

import json
import os
import random
import shutil
import tempfile
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.support.processes import wait_until
from tests.support.quiet import quiet_logs
from tests.support.stepped_element import FixedClock, Ids, make_record, options
from tests.unit.storage.test_scrub_under_load import Worker
from typer.testing import CliRunner

from artstore.cli.main import app
from artstore.core.model.element import StorageMode
from artstore.core.model.ids import FileId
from artstore.storage.engine import sidecar
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.scrub import survey

__all__ = ["quiet_logs"]

pytestmark = pytest.mark.usefixtures("quiet_logs")
LIVE_PASSES = 3
NOBODY = 65534


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "SETTLE_S", 0.2)


class Shelf:
    """An element on a real disk, and the ids of its files."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.root = root
        self.engine = Engine.open(options(str(root), segment_bytes=256 << 10, **changes))
        self.engine.start()
        self.ids = Ids(FixedClock())
        self.files: list[FileId] = []

    def put(self, content: bytes, name: str = "letter.pdf") -> FileId:
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        file_id = self.ids.new()
        record = make_record(file_id, content, FixedClock(), name)
        self.engine.new_files.put(record, content, None, outcomes.put)
        assert isinstance(outcomes.get(), Stored)
        self.files.append(file_id)
        self.engine.reading.record(file_id)  # waits until it is in its place
        return file_id

    def path(self, file_id: FileId, suffix: str) -> Path:
        (path,) = self.root.glob(f"data/*/*/*/*/{file_id}{suffix}")
        return path


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Stopped, with a part of its log in history."""
    shelf = Shelf(tmp_path / "element", checkpoint_interval_s=0.1)
    for number in range(120):
        shelf.put(random.Random(number).randbytes(4000))
    shelf.engine.changes.delete(shelf.files[0], by="a", reason="b", trace=None)
    wait_until(lambda: any(shelf.root.glob("log/*.gz")), "a history")
    shelf.engine.close()
    return shelf


def verify(root: Path, *options: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Exit code, defects, summary."""
    result = CliRunner().invoke(app, ["verify", str(root), "--json", *options])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, lines[:-1], lines[-1]


def test_a_whole_element(shelf: Shelf) -> None:
    before = snapshot(shelf.root)
    code, defects, summary = verify(shelf.root)
    assert (code, defects) == (0, [])
    assert (summary["element_id"], summary["whole"], summary["files"]) == ("edit-1", True, 120)
    assert summary["read_bytes"] > 119 * 4000
    assert snapshot(shelf.root) == before
    result = CliRunner().invoke(app, ["verify", str(shelf.root)])
    assert result.exit_code == 0
    assert ": whole (element edit-1; 120 files" in result.stdout


@pytest.fixture
def archived(tmp_path: Path) -> tuple[Path, Path, list[FileId]]:
    """The root of an element in mode `ar`, its archive, its files."""
    archive = tmp_path / "archive"
    archive.mkdir()
    shelf = Shelf(tmp_path / "old", mode=StorageMode.RW, archive_directory=str(archive))
    for number in range(5):
        shelf.put(f"content {number}".encode())
    for mode in (StorageMode.RO, StorageMode.AR):
        shelf.engine.modes.change(mode, by="a", reason="b", confirmed=True, trace=None)

    def is_moved() -> bool:
        status = shelf.engine.info().archive
        return status is not None and status.complete

    wait_until(is_moved, "the archive")
    shelf.engine.close()
    return shelf.root, archive, shelf.files


def test_an_archived_element(archived: tuple[Path, Path, list[FileId]]) -> None:
    root, archive, files = archived
    before = snapshot(root), snapshot(archive)
    with_archive = ("--archive", str(archive))
    code, defects, summary = verify(root, *with_archive)
    assert (code, defects, summary["files"]) == (0, [], 5)
    assert (snapshot(root), snapshot(archive)) == before
    (path,) = archive.rglob(f"{files[0]}.pdf")
    flip(path, 3)
    next(archive.rglob(f"{files[1]}.pdf")).unlink()

    _, defects, _ = verify(root, *with_archive)
    assert sorted((each["finding"], each["file_id"]) for each in defects) == [
        ("damaged", files[0]),
        ("missing_content", files[1]),
    ]
    assert verify(root)[0] == 0, "without it nobody knows of it"


def test_what_is_no_archive_is_said_so(archived: tuple[Path, Path, list[FileId]]) -> None:
    root, archive, _ = archived
    (archive / "archive.json").unlink()
    result = CliRunner().invoke(app, ["verify", str(root), "--archive", str(archive)])
    assert (result.exit_code, "not the archive" in result.stderr) == (1, True)


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*")}


def test_each_defect_is_named_with_what_to_do(shelf: Shelf) -> None:
    one, two, three, four, five = shelf.files[1:6]
    flip(shelf.path(one, ".pdf"), 100)
    shelf.path(two, ".pdf").unlink()
    flip(shelf.path(three, ".attr.json"), 20)
    shutil.copy(shelf.path(five, ".attr.json"), shelf.path(four, ".attr.json"))
    stray = shelf.path(one, ".pdf").parent / "notes.txt"
    stray.touch()
    history = next(shelf.root.glob("log/*.gz"))
    flip(history, history.stat().st_size // 2)

    code, defects, summary = verify(shelf.root)
    assert code == 1
    assert {(defect["finding"], defect["file_id"]) for defect in defects} == {
        ("damaged", one),
        ("missing_content", two),
        ("attr_damaged", three),
        ("wrong_attr", four),
        ("surplus", None),
        ("log_damaged", None),
    }
    assert summary["defects"] == len(defects) == 6
    text = CliRunner().invoke(app, ["verify", str(shelf.root)]).stdout
    assert text.count("\n") == len(defects) + 1
    assert f"{one}.pdf: damaged: the content does not match its digest. If its" in text
    assert "NOT WHOLE" in text


def test_a_file_of_which_only_the_log_knows(shelf: Shelf) -> None:
    for suffix in (".pdf", ".attr.json"):
        shelf.path(shelf.files[5], suffix).unlink()
    code, defects, _ = verify(shelf.root)
    assert (code, [defect["finding"] for defect in defects]) == (1, ["missing_content"])
    assert "the log knows" in defects[0]["cause"]


@pytest.mark.parametrize("content", [b"", b"{}", None])
def test_a_damaged_element_file(shelf: Shelf, content: bytes | None) -> None:
    path = shelf.root / "element.json"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    code, defects, summary = verify(shelf.root)
    assert (code, [defect["finding"] for defect in defects]) == (1, ["element_damaged"])
    assert summary["files"] == 120


def test_a_missing_part_of_the_log(shelf: Shelf) -> None:
    next(shelf.root.glob("log/*.gz")).unlink()
    code, defects, _ = verify(shelf.root)
    assert (code, [defect["finding"] for defect in defects]) == (1, ["log_damaged"])
    assert "are in no file of the log" in defects[0]["cause"]


def test_an_element_whose_files_lie_elsewhere(shelf: Shelf) -> None:
    shutil.rmtree(shelf.root / "data")
    (shelf.root / "data").mkdir()
    assert len(verify(shelf.root)[1]) == 120
    code, defects, summary = verify(shelf.root, "--log-only")
    assert (code, defects, summary["files"]) == (0, [], 0)
    assert summary["log_bytes"] > 0


def test_an_older_record(shelf: Shelf) -> None:
    engine = Engine.open(options(str(shelf.root), segment_bytes=256 << 10))
    deleted = engine.reading.record(shelf.files[0])
    engine.close()
    older = deleted.model_copy(update={"revision": 1, "deleted": None})
    shelf.path(shelf.files[0], ".attr.json").write_bytes(sidecar.seal(older.to_json()))
    code, defects, _ = verify(shelf.root)
    assert code == 1
    assert {defect["finding"] for defect in defects} == {"attr_damaged", "missing_content"}


def test_what_is_only_in_the_log_is_not_judged(tmp_path: Path) -> None:
    """A killed element whose files did not get to the disk: the next start does that."""
    shelf = Shelf(tmp_path / "element", checkpoint_interval_s=3600)
    for number in range(5):
        shelf.put(b"%d" % number)
    assert len(shelf.engine.reading.files(None, 10)) == 5, "a listing waits until all are in place"
    shutil.copytree(shelf.root, tmp_path / "killed")
    for path in (tmp_path / "killed").rglob(f"{shelf.files[2]}*"):
        path.unlink()
    for path in (tmp_path / "killed").rglob(f"{shelf.files[3]}.pdf"):
        path.write_bytes(b"")
    code, defects, summary = verify(tmp_path / "killed")
    assert (code, defects, summary["in_log_only"]) == (0, [], 2)
    shelf.engine.close()
    code, defects, summary = verify(shelf.root)
    assert (code, defects, summary["in_log_only"]) == (0, [], 0)


def test_a_living_element(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "element", checkpoint_interval_s=0.1)
    files: list[FileId] = []
    enough = threading.Event()
    workers = [
        threading.Thread(target=Worker(shelf.engine, seed, files, enough).run, daemon=True)
        for seed in range(3)
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in range(LIVE_PASSES):
            code, defects, _ = verify(shelf.root)
            assert (code, defects) == (0, [])
    finally:
        enough.set()
    for worker in workers:
        worker.join()
    shelf.engine.close()
    assert verify(shelf.root)[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_may_verify(shelf: Shelf) -> None:
    assert verify(shelf.root)[0] == 0, "everything that is needed is loaded"
    for path in shelf.root.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with tempfile.TemporaryDirectory() as elsewhere:
        Path(elsewhere).chmod(0o755)
        place = Path(shutil.move(shelf.root, f"{elsewhere}/element"))
        place.chmod(0o555)
        assert as_nobody(place) == 0
        flip(next(place.glob("data/*/*/*/*/*.pdf")), 0)
        assert as_nobody(place) == 1


def as_nobody(root: Path) -> int:
    """Exit code. The interpreter itself may lie where nobody may read: fork, not exec."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            code = verify(root)[0]
        finally:
            # Never back into the tests, whatever happens.
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_is_no_element(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(tmp_path)])
    assert result.exit_code == 1
    assert "is not the directory of a storage element" in result.stderr


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
