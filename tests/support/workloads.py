"""What elements do all day, in short: each ends after a few dozen steps that change the disk."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from tests.support.power_cut import Workload
from tests.support.scrubbing import find_path, overwrite, repair, scrub
from tests.support.stepped_element import make_record

from artstore.core.model.file import Deletion, FileRecord
from artstore.core.model.retention import Retention
from artstore.storage.engine import waiting


def _bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def one_file(work: Workload) -> None:
    work.element.put((work.ids.new(), b"first", "letter.pdf"))


def empty_file(work: Workload) -> None:
    work.element.put((work.ids.new(), b"", "nothing"))


def group_of_eight(work: Workload) -> None:
    files = [(work.ids.new(), _bytes(700 + 90 * n, n), f"page-{n}.tif") for n in range(8)]
    work.element.put(*files)


def groups_in_a_row(work: Workload) -> None:
    """While one group is logged the one before it is put in place; and a checkpoint comes when
    one is logged only."""
    engine = work.element.engine
    with patch.object(waiting, "GROUP_RECORDS_MAX", 2):
        for number in range(8):
            work.element.submit(work.ids.new(), _bytes(600 + 70 * number, number))
        for _ in range(3):
            engine.step_once()
        engine.checkpoint()
        for number in range(4):
            work.element.submit(work.ids.new(), _bytes(500, number))
        engine.step()


def next_hour(work: Workload) -> None:
    """The first file of a directory."""
    work.element.put((work.ids.new(), b"before", "a.txt"))
    work.element.engine.checkpoint()
    work.clock.advance(hours=5)
    work.element.put((work.ids.new(), b"after", "b.txt"))


def large_files(work: Workload) -> None:
    work.element.upload(work.ids.new(), _bytes(9000, 1))
    work.element.upload(work.ids.new(), _bytes(5000, 2))
    work.element.engine.checkpoint()


def uploads_in_parts(work: Workload) -> None:
    """One is finished over a restart, one abandoned, one stays open."""
    first, second, third = (work.ids.new() for _ in range(3))
    content = _bytes(6000, 1)
    work.element.begin_parts(first, len(content))
    work.element.add_part(first, content[:2500])
    work.element.begin_parts(second, 4000)
    work.element.add_part(second, _bytes(3000, 2))
    work.element.add_part(first, content[2500:4000])
    work.kill_and_restart()
    work.element.add_part(first, content[4000:])
    work.element.complete_parts(first)
    work.element.begin_parts(third, 900)
    del work.oracle.parts[second]
    work.element.engine.open_uploads.remove(second)
    work.element.engine.checkpoint()
    work.element.add_part(third, _bytes(900, 3))


def aborted_upload(work: Workload) -> None:
    file_id = work.ids.new()
    work.element.abort_upload(file_id, _bytes(6000, 1))
    work.element.upload(file_id, _bytes(6000, 1))
    work.element.abort_upload(work.ids.new(), _bytes(6000, 2))


def repeated_upload(work: Workload) -> None:
    """The client did not get the answer and sends the file again."""
    small, large = work.ids.new(), work.ids.new()
    for _ in range(2):
        work.element.put((small, b"once", "a.txt"))
    work.element.upload(large, _bytes(5000, 3))
    work.element.upload(large, _bytes(5000, 3))


def changes(work: Workload) -> None:
    small, large = work.ids.new(), work.ids.new()
    work.element.put((small, b"text", "a.txt"))
    work.element.upload(large, _bytes(5000, 4))
    work.element.change(small, tags=("blue",))
    work.element.engine.checkpoint()
    work.element.change(large, metadata={"case": 7})
    work.element.change(small, tags=("blue", "green"))


def new_extensions(work: Workload) -> None:
    small, large = work.ids.new(), work.ids.new()
    work.element.put((small, b"text", "a.txt"))
    work.element.change(small, original_filename="a.md")
    work.element.upload(large, _bytes(5000, 5))
    work.element.engine.checkpoint()
    work.element.change(large, original_filename="film")
    work.element.change(large, original_filename="film.mkv")
    work.element.change(small, original_filename="a.txt")


def deletions(work: Workload) -> None:
    small, old, large = work.ids.new(), work.ids.new(), work.ids.new()
    work.element.put((small, b"text", "a.txt"), (old, b"old text", "b.txt"))
    work.element.engine.checkpoint()
    work.element.upload(large, _bytes(5000, 6))
    work.element.delete(large)
    work.element.put((work.ids.new(), b"stays", "c.txt"))
    work.element.delete(old)
    work.element.change(small, tags=("last words",))
    work.element.delete(small)
    work.element.engine.checkpoint()


def many_segments(work: Workload) -> None:
    """Rotation, history and recycled segments."""
    for turn in range(4):
        files = [(work.ids.new(), _bytes(2500, turn * 10 + n), "x.bin") for n in range(4)]
        for file in files:
            work.element.put(file)
        work.element.put(*[(work.ids.new(), _bytes(1500, turn), "y.bin") for _ in range(6)])
        work.element.delete(files[0][0])
        if turn % 2:
            work.element.engine.checkpoint()


def recycled_then_torn(work: Workload) -> None:
    """Old records lie behind the new ones."""
    for turn in range(3):
        for n in range(5):
            work.element.put((work.ids.new(), _bytes(3000, n), "x.bin"))
        work.element.engine.checkpoint()
        work.element.change(work.oracle.ids[turn], tags=(str(turn),))
    work.element.put(*[(work.ids.new(), _bytes(2000, n), "y.bin") for n in range(5)])


def two_writers(work: Workload) -> None:
    """Their files and changes end up in the same groups."""
    old, older = work.ids.new(), work.ids.new()
    work.element.put((old, b"old", "a.txt"), (older, b"older", "b.txt"))
    for turn in range(3):
        work.element.submit(work.ids.new(), _bytes(900, turn), "left.bin")
        work.element.change(old, tags=(f"left {turn}",))
        work.element.submit(work.ids.new(), _bytes(1900, turn), "right.bin")
        work.element.change(older, original_filename=f"right.{turn}")
    work.element.submit(work.ids.new(), b"last", "left.bin")
    work.element.delete(old)


def one_batch(work: Workload) -> None:
    """More than one write of the log holds, with a file that is there already."""
    known = (work.ids.new(), b"known", "a.txt")
    work.element.put(known)
    many = [(work.ids.new(), _bytes(300 * n, n), f"{n}.eml") for n in range(12)]
    work.element.batch(known, *many)
    work.element.batch(*many[:3], (work.ids.new(), b"new", "b.txt"))


def copied_in(work: Workload) -> None:
    """Files of another element, in late revisions; later states of them; tombstones."""
    first, second, third = (_from_elsewhere(work, n) for n in range(3))
    work.element.copy(first, b"content 0")
    work.element.copy(second, b"content 1")
    work.element.engine.checkpoint()
    longer = Retention(
        policy="P1Y", mode="compliance", retain_until=work.clock.now() + timedelta(days=365)
    )
    work.element.copy(_later(first, retention=longer), b"content 0")
    work.element.copy(_later(second, original_filename="b.txt", tags=("moved",)), b"content 1")
    gone = Deletion(at=work.clock.now(), by="clerk", reason="wish")
    work.element.copy(_later(second, original_filename="c", revision=9, deleted=gone), None)
    work.element.copy(_later(third, deleted=gone), None)
    work.element.engine.checkpoint()


def _from_elsewhere(work: Workload, number: int) -> FileRecord:
    record = make_record(work.ids.new(), b"content %d" % number, work.clock)
    return record.model_copy(update={"revision": 4})


def _later(record: FileRecord, **fields: Any) -> FileRecord:
    return record.model_copy(update={"revision": record.revision + 1, **fields})


def scrubbed_and_repaired(work: Workload) -> None:
    """The disk spoils contents; the scrub finds them, another copy makes them whole."""
    small, large = work.ids.new(), work.ids.new()
    contents = {small: b"text", large: _bytes(5000, 7)}
    work.element.put((small, contents[small], "a.txt"))
    work.element.upload(large, contents[large], "film.mp4")
    work.element.engine.checkpoint()
    for file_id, suffix in ((small, ".txt"), (large, ".mp4")):
        work.oracle.damaged.add(file_id)
        overwrite(work.fs, find_path(work.fs, file_id + suffix), b"spoilt")
    scrub(work.element.engine)
    for file_id, content in contents.items():
        repair(work.element, file_id, content)
        work.oracle.damaged.remove(file_id)
    work.element.change(small, tags=("whole again",))
    work.element.engine.checkpoint()


def failing_flush(work: Workload) -> None:
    """The kernel forgets what it could not write, and says so once."""
    work.element.put((work.ids.new(), b"before", "a.txt"))
    work.fs.flushes_that_fail = 1
    work.element.put((work.ids.new(), b"not promised", "b.txt"))
    work.kill_and_restart()
    work.element.put((work.ids.new(), b"after", "c.txt"))


def clean_restarts(work: Workload) -> None:
    for turn in range(3):
        work.element.put((work.ids.new(), _bytes(2000, turn), "x.bin"))
        work.restart()
    work.element.change(work.oracle.ids[0], tags=("again",))


def kills(work: Workload) -> None:
    """kill -9, a start, and only then the power cut."""
    large = work.ids.new()
    work.element.put((work.ids.new(), _bytes(2000, 1), "x.bin"))
    work.element.upload(large, _bytes(5000, 2))
    work.kill_and_restart()
    work.element.delete(large)
    work.kill_and_restart()
    work.kill_and_restart()
    work.element.put((work.ids.new(), _bytes(2000, 3), "x.bin"))
    work.element.engine.checkpoint()
    work.kill_and_restart()
    work.element.put((work.ids.new(), _bytes(2000, 4), "x.bin"))


def kills_in_the_middle(work: Workload) -> None:
    """kill -9 at any step, a start, more work, and then the power cut."""
    for turn in range(4):
        with work.killed_after(work.chance.randrange(70)):
            work.element.put((work.ids.new(), _bytes(1000, turn), "x.bin"))
            work.element.engine.checkpoint()
            large = work.ids.new()
            work.element.upload(large, _bytes(5000, turn))
            work.element.change(large, original_filename=f"{turn}.avi")
            work.element.engine.checkpoint()
            work.element.delete(large)
            work.element.engine.checkpoint()
        work.element.put((work.ids.new(), _bytes(1000, turn), "y.bin"))


WORKLOADS: Mapping[str, Callable[[Workload], None]] = {
    workload.__name__: workload
    for workload in (
        one_file,
        empty_file,
        group_of_eight,
        groups_in_a_row,
        next_hour,
        large_files,
        uploads_in_parts,
        aborted_upload,
        repeated_upload,
        changes,
        new_extensions,
        deletions,
        many_segments,
        recycled_then_torn,
        two_writers,
        one_batch,
        copied_in,
        scrubbed_and_repaired,
        failing_flush,
        clean_restarts,
        kills,
        kills_in_the_middle,
    )
}
