"""What elements do all day, in short: each ends after a few dozen steps that change the disk."""

import random
from collections.abc import Callable, Mapping

from tests.support.power_cut import Workload


def _bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def one_file(work: Workload) -> None:
    work.element.put((work.ids.new(), b"first", "letter.pdf"))


def empty_file(work: Workload) -> None:
    work.element.put((work.ids.new(), b"", "nothing"))


def group_of_eight(work: Workload) -> None:
    files = [(work.ids.new(), _bytes(700 + 90 * n, n), f"page-{n}.tif") for n in range(8)]
    work.element.put(*files)


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
        next_hour,
        large_files,
        aborted_upload,
        repeated_upload,
        changes,
        new_extensions,
        deletions,
        many_segments,
        recycled_then_torn,
        clean_restarts,
        kills,
        kills_in_the_middle,
    )
}
