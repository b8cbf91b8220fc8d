"""An element in mode `ar`: its contents move to an archive, come back by a restore, and no power
cut, no missing mount and no bad disk makes any of them be lost or handed out wrong.
"""

import errno
import random
from datetime import timedelta

import pytest
from tests.support.quiet import quiet_logs
from tests.support.scrubbing import file_at, kinds, overwrite, paths, repair, scrub
from tests.support.simulated_fs import Image, SimulatedFs
from tests.support.stepped_element import (
    ELEMENT_ROOT,
    Element,
    FixedClock,
    Ids,
    Oracle,
    SteppedEngine,
    make_record,
    options,
)

from artstore.core.errors import (
    DigestMismatch,
    FileArchived,
    FileDamaged,
    ModeForbids,
    NoRoom,
    NotReady,
    UnknownFile,
)
from artstore.core.model.element import StorageMode
from artstore.core.model.ids import FileId
from artstore.core.model.restored import RestoreTerms
from artstore.storage.engine.archive.archiver import Archiver
from artstore.storage.engine.archive.base import ArchiveAway
from artstore.storage.engine.engine import Engine

__all__ = ["quiet_logs"]

pytestmark = pytest.mark.usefixtures("quiet_logs")
ARCHIVE = "/mnt/archive"
ROOM = {"archive_directory": ARCHIVE, "archive_rate_bytes_per_s": 1 << 40}
STATES_MAX = 300
LARGE = random.Random(1).randbytes(5000)


@pytest.fixture
def fs() -> SimulatedFs:
    fs = SimulatedFs()
    for directory in ("/srv", "/mnt", ARCHIVE):
        fs.make_directory(directory)
        fs.flush_directory(directory.rpartition("/")[0] or "/")
    return fs


@pytest.fixture
def element(fs: SimulatedFs, clock: FixedClock) -> Element:
    return Element(fs, Oracle(), clock, mode=StorageMode.RW, **ROOM)


def archiver(engine: Engine) -> Archiver:
    found = engine.archiving.archiver
    assert found is not None
    return found


def filled(element: Element, ids: Ids) -> list[FileId]:
    files = [ids.new() for _ in range(4)]
    element.put((files[0], b"letter", "letter.pdf"), (files[1], b"", "empty.txt"))
    element.upload(files[2], LARGE)
    element.put((files[3], b"last", "noextension"))
    element.change(files[0], tags=("blue",))
    return files


def close(engine: Engine) -> None:
    for mode in (StorageMode.RO, StorageMode.AR):
        engine.modes.change(mode, by="chief", reason="full", confirmed=True, trace=None)


def restored_bytes(engine: Engine, file_id: FileId) -> bytes:
    """As whoever restores reads it."""
    content = engine.contents.open(file_id, from_archive=True)
    try:
        return content.whole()
    finally:
        content.close()


def online(fs: SimulatedFs) -> list[str]:
    found = paths(fs, f"{ELEMENT_ROOT}/data")
    return [path for path in found if not path.endswith(".attr.json")]


def archived(fs: SimulatedFs, file_id: FileId) -> str:
    (path,) = (
        path
        for path in paths(fs, f"{ARCHIVE}/data")
        if file_id in path and not path.endswith(".attr.json")
    )
    return path


def check_whole(engine: SteppedEngine, oracle: Oracle) -> None:
    for file_id, state in oracle.settled.items():
        assert state is not None
        assert engine.reading.record(file_id).to_json() == state[0]
        assert restored_bytes(engine, file_id) == state[1]


def test_contents_move_and_records_stay(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    files = filled(element, ids)
    archiver(element.engine).run_pass()
    assert online(fs), "nothing moves in another mode"
    close(element.engine)

    archiver(element.engine).run_pass()

    assert online(fs) == []
    status = element.engine.info().archive
    assert status is not None
    assert (status.moved_files, status.complete, status.left_files) == (4, True, 0)
    assert status.moved_bytes == len(LARGE) + len(b"letterlast")
    check_whole(element.engine, element.oracle)
    for file_id in files:
        with pytest.raises(FileArchived) as refused:
            element.engine.contents.open(file_id)
        assert refused.value.fields["restore"] == f"/api/v1/files/{file_id}/restore"
    names = [path.rpartition("/")[2] for path in paths(fs, f"{ARCHIVE}/data")]
    assert sorted(names) == sorted(
        f"{file_id}{extension}"
        for file_id, own in zip(files, (".pdf", ".txt", ".mp4", ""), strict=True)
        for extension in (own, ".attr.json")
    )


def test_what_a_reader_sees_follows_from_the_mode_not_from_the_bytes(
    element: Element, ids: Ids
) -> None:
    files = filled(element, ids)
    close(element.engine)

    with pytest.raises(FileArchived):
        element.engine.contents.open(files[0])
    assert restored_bytes(element.engine, files[0]) == b"letter"


def test_a_power_cut_anywhere_loses_nothing(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    filled(element, ids)
    element.engine.checkpoint()
    close(element.engine)
    images: list[Image] = []
    chance = random.Random(1)
    fs.before_step = lambda _: images.extend(fs.image(plan) for plan in fs.crash_plans(chance, 1))
    archiver(element.engine).run_pass()
    fs.before_step = lambda _: None
    assert len(images) > STATES_MAX

    for image in chance.sample(images, STATES_MAX):
        cut = SimulatedFs(image)
        again = SteppedEngine.open(options(mode=StorageMode.RW, **ROOM), cut, element.clock)
        check_whole(again, element.oracle)
        archiver(again).run_pass()
        check_whole(again, element.oracle)
        assert scrub(again) == []


def test_a_killed_process_and_then_a_power_cut_lose_nothing(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    """Directories that the killed one made are in memory, and nobody has flushed them."""
    filled(element, ids)
    element.engine.checkpoint()
    close(element.engine)

    class Killed(BaseException):
        pass

    def kill(step: str) -> None:
        if step.startswith(f"flush directory {ARCHIVE}/data"):
            raise Killed

    fs.before_step = kill
    with pytest.raises(Killed):
        archiver(element.engine).run_pass()
    fs.before_step = lambda _: None
    fs.kill()
    again = SteppedEngine.open(options(mode=StorageMode.RW, **ROOM), fs, element.clock)
    archiver(again).run_pass()
    lost = fs.image(fs.crash_plans(random.Random(1), 0)[0])

    final = SteppedEngine.open(
        options(mode=StorageMode.RW, **ROOM), SimulatedFs(lost), element.clock
    )
    check_whole(final, element.oracle)


def test_an_archive_that_is_not_mounted_is_away_and_not_empty(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    files = filled(element, ids)
    close(element.engine)
    archiver(element.engine).run_pass()
    fs.rename(ARCHIVE, "/mnt/elsewhere")
    fs.make_directory(ARCHIVE)

    with pytest.raises(ArchiveAway):
        restored_bytes(element.engine, files[0])
    with pytest.raises(ArchiveAway):
        scrub(element.engine)
    assert element.engine.scrub.status().open_findings == 0
    assert element.engine.reading.record(files[0]).tags == ("blue",)


def test_an_archive_that_nobody_names_any_more_is_away(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    """A setting that was forgotten is no loss."""
    files = filled(element, ids)
    element.engine.checkpoint()
    close(element.engine)
    archiver(element.engine).run_pass()
    fs.kill()
    again = SteppedEngine.open(options(mode=StorageMode.RW), fs, element.clock)

    with pytest.raises(ArchiveAway):
        restored_bytes(again, files[0])
    with pytest.raises(ArchiveAway):
        scrub(again)
    with pytest.raises(FileArchived):
        again.contents.open(files[0])


@pytest.mark.parametrize("holds", ["another element's", "something else"])
def test_a_directory_that_is_in_use_is_not_taken(
    element: Element, ids: Ids, fs: SimulatedFs, holds: str
) -> None:
    filled(element, ids)
    close(element.engine)
    if holds == "something else":
        fs.close(fs.create(f"{ARCHIVE}/notes.txt"))
    else:
        fs.make_directory("/srv/other")
        other = SteppedEngine.open(
            options("/srv/other", element_id="rw-9", mode=StorageMode.RW, **ROOM), fs, element.clock
        )
        close(other)
        archiver(other).run_pass()

    with pytest.raises(ArchiveAway):
        archiver(element.engine).run_pass()
    assert len(online(fs)) == 4


def test_a_full_archive_leaves_contents_where_they_are(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    filled(element, ids)
    close(element.engine)
    with pytest.MonkeyPatch.context() as patch:

        def full(handle: int, data: bytes, offset: int) -> int:
            raise OSError(errno.ENOSPC, "no room")

        # The element's own volume has room: it writes its notes.
        archiver_only = SimulatedFs.create

        def create(path: str) -> int:
            if path.startswith(f"{ARCHIVE}/tmp"):
                patch.setattr(fs, "write", full)
            return archiver_only(fs, path)

        patch.setattr(fs, "create", create)
        with pytest.raises(ArchiveAway):
            archiver(element.engine).run_pass()
    assert len(online(fs)) == 4
    assert paths(fs, f"{ARCHIVE}/tmp") == []

    archiver(element.engine).run_pass()
    assert online(fs) == []
    check_whole(element.engine, element.oracle)


def test_after_a_failed_flush_nothing_leaves_the_element(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    filled(element, ids)
    close(element.engine)
    archived_parts = archiver(element.engine)

    def fail(step: str) -> None:
        if step.startswith(f"flush directory {ARCHIVE}/data"):
            raise OSError(errno.EIO, "the disk failed")

    fs.before_step = fail
    with pytest.raises(ArchiveAway):
        archived_parts.run_pass()
    fs.before_step = lambda _: None
    with pytest.raises(ArchiveAway, match="flush"):
        archived_parts.run_pass()
    assert len(online(fs)) == 4


def test_damaged_content_is_not_archived_and_the_rest_is(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    files = filled(element, ids)
    close(element.engine)
    (path,) = (path for path in online(fs) if files[0] in path)
    overwrite(fs, path, b"lettre")

    archiver(element.engine).run_pass()

    assert online(fs) == [path]
    status = element.engine.info().archive
    assert status is not None
    assert status.left_files == 1


def test_the_scrub_reads_the_archive_and_a_repair_mends_it(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    files = filled(element, ids)
    close(element.engine)
    archiver(element.engine).run_pass()
    overwrite(fs, archived(fs, files[0]), b"lettre")
    fs.unlink(archived(fs, files[3]))

    with pytest.raises(FileDamaged):
        restored_bytes(element.engine, files[0])
    found = kinds(scrub(element.engine))
    assert sorted(found) == [("damaged", files[0]), ("missing_content", files[3])]
    repair(element, files[0], b"letter")
    repair(element, files[3], b"last")
    archiver(element.engine).run_pass()

    assert online(fs) == []
    check_whole(element.engine, element.oracle)
    assert element.engine.scrub.status().open_findings == 0
    kept = [path for path in paths(fs, ARCHIVE) if path.endswith(".damaged")]
    assert [bytes(file_at(fs, path).current) for path in kept] == [b"lettre"]


# --- restored copies ------------------------------------------------------------------


@pytest.fixture
def shelf(fs: SimulatedFs, clock: FixedClock) -> SteppedEngine:
    return SteppedEngine.open(options("/srv/shelf"), fs, clock)


def keep(engine: SteppedEngine, clock: FixedClock, file_id: FileId, content: bytes) -> None:
    record = make_record(file_id, b"restored", clock)
    terms = RestoreTerms(restored_from="rw-1", expires_at=clock.now() + timedelta(days=30))
    incoming = engine.restored.begin(record)
    incoming.write(content)
    engine.restored.finish(incoming, record, terms)


def test_a_restored_copy_is_read_for_its_time_and_is_no_file_of_the_element(
    shelf: SteppedEngine, clock: FixedClock, ids: Ids, fs: SimulatedFs
) -> None:
    file_id = ids.new()
    keep(shelf, clock, file_id, b"restored")

    content = shelf.contents.open(file_id)
    assert content.whole() == b"restored"
    assert content.record.restored_from == "rw-1"
    content.close()
    assert (shelf.reading.files(None, 10), shelf.feed.changes(0, 10).lines) == ([], [])
    with pytest.raises(UnknownFile):
        shelf.reading.record(file_id)
    with pytest.raises(NotReady):
        shelf.restored.remove(file_id)
    clock.advance(days=30)
    with pytest.raises(UnknownFile):
        shelf.contents.open(file_id)
    shelf.restored.remove(file_id)
    shelf.restored.remove(file_id)
    assert paths(fs, "/srv/shelf/restored") == []


def test_a_copy_that_is_not_the_file_is_refused(
    shelf: SteppedEngine, clock: FixedClock, ids: Ids, fs: SimulatedFs
) -> None:
    with pytest.raises(DigestMismatch):
        keep(shelf, clock, ids.new(), b"restorde")
    assert paths(fs, "/srv/shelf/tmp") == []


def test_restored_copies_respect_the_mode_and_the_room(
    shelf: SteppedEngine, clock: FixedClock, ids: Ids, fs: SimulatedFs
) -> None:
    fs.bytes_free = 4
    clock.advance(seconds=5)
    with pytest.raises(NoRoom):
        keep(shelf, clock, ids.new(), b"restored")
    fs.bytes_free = 1 << 40
    closed = SteppedEngine.open(options("/srv/closed", mode=StorageMode.RW), fs, clock)
    with pytest.raises(ModeForbids):
        closed.restored.begin(make_record(ids.new(), b"restored", clock))


def test_a_power_cut_leaves_a_whole_copy_or_none(
    shelf: SteppedEngine, clock: FixedClock, ids: Ids, fs: SimulatedFs
) -> None:
    images: list[Image] = []
    fs.before_step = lambda _: images.extend(
        fs.image(plan) for plan in fs.crash_plans(random.Random(1), 2)
    )
    file_id = ids.new()
    keep(shelf, clock, file_id, b"restored")
    fs.before_step = lambda _: None
    assert len(images) > 20

    for image in [*images, fs.image(fs.crash_plans(random.Random(1), 0)[0])]:
        again = SteppedEngine.open(options("/srv/shelf"), SimulatedFs(image), clock)
        try:
            content = again.contents.open(file_id)
        except UnknownFile:
            continue
        assert content.whole() == b"restored"
    assert again.contents.open(file_id).whole() == b"restored", "it was promised"


def test_a_start_removes_what_is_over(
    shelf: SteppedEngine, clock: FixedClock, ids: Ids, fs: SimulatedFs
) -> None:
    keep(shelf, clock, ids.new(), b"restored")
    clock.advance(days=31)
    fs.kill()
    SteppedEngine.open(options("/srv/shelf"), fs, clock)
    assert paths(fs, "/srv/shelf/restored") == []
