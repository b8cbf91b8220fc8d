"""Goal: whatever moment a process or a machine dies at, what was acknowledged stays in the log,
the log opens again, and it is whole.

Method: a workload of appends on a simulated disk. Before each step that changes anything, look
at every disk that a power cut may leave there (see `simulated_fs`): open the log on it, check
it entry by entry, append something else, check again. Then the same with each step failing.
"""

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.simulated_fs import Image
from tests.support.transparency import LOG_KEY, ORIGIN, POLICY, T0, FolderFs, entry, folder_store

from artstore.core.tlog.errors import LogStopped, ObjectMissing
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.inspection import inspect_log
from artstore.core.tlog.log import Log, has_log

ROOT = Path("/srv/log")
BATCHES = (1, 3, 250, 5, 300, 1)
RANDOM_PER_STEP = 3


class Progress:
    """What the workload was told, and what it was about to do."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.asked = 0


def disk() -> FolderFs:
    return FolderFs({"/srv": None, "/srv/log": None})


def run(fs: FolderFs, progress: Progress) -> None:
    log = Log.create(folder_store(ROOT, fs), ORIGIN, [LOG_KEY], T0)
    for batch in BATCHES:
        progress.asked = progress.acknowledged + batch
        log.append([entry(i) for i in range(progress.acknowledged, progress.asked)], T0)
        progress.acknowledged = progress.asked


def check_and_go_on(store: FolderStore, progress: Progress, flavour: str = "") -> int:
    """The log on this disk is whole and holds what was acknowledged. Returns its size."""
    if not has_log(store):
        assert progress.asked == 0, "the log is gone"
        Log.create(store, ORIGIN, [LOG_KEY], T0)
    log = Log.open(store, ORIGIN, [LOG_KEY], size_min=progress.acknowledged)
    size = log.checkpoint.size
    assert size in (progress.acknowledged, progress.asked)
    check_whole(log, [entry(i) for i in range(size)])
    # Other entries than the ones that were lost: what is left of those must not be in the way.
    more = [entry(i, f"after the crash {flavour}") for i in range(280)]
    log.append(more, T0)
    check_whole(log, [entry(i) for i in range(size)] + more)
    return size


def check_whole(log: Log, entries: list[bytes]) -> None:
    assert list(inspect_log(log.reader())) == []
    assert list(log.reader().entries(0, log.checkpoint.size)) == entries


def each_step(work: Callable[[FolderFs, Progress], None]) -> Iterator[tuple[str, int]]:
    """Names of the steps of a workload."""
    fs, steps = disk(), []
    fs.before_step = steps.append
    work(fs, Progress())
    yield from ((step, number) for number, step in enumerate(steps))


STEPS = list(each_step(run))


def test_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged() -> None:
    chance = random.Random(20261122)
    seen: set[int] = set()
    states = 0

    def cut(step: str) -> None:
        nonlocal states
        for image in fs.after_power_cut(chance, RANDOM_PER_STEP):
            state = hash((tuple(sorted(image.items())), progress.asked, progress.acknowledged))
            if state in seen:
                continue
            seen.add(state)
            states += 1
            try:
                check_and_go_on(store_on(image), progress)
            except Exception as error:
                raise AssertionError(f"power cut before '{step}': {error!r}") from error

    fs, progress = disk(), Progress()
    fs.before_step = cut
    run(fs, progress)
    cut("the end")
    assert states > 500


def store_on(image: Image) -> FolderStore:
    return folder_store(ROOT, FolderFs(image))


@pytest.mark.parametrize("share", [0, 1, 2, 3])
def test_a_killed_process_and_then_a_power_cut_lose_nothing(share: int) -> None:
    """A process that was killed left folders that it never flushed: the next one must."""
    for _, number in STEPS[share::16]:
        fs, progress = disk(), Progress()
        fail_at(fs, number, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(fs, progress)
        fs.kill()
        fs.before_step = lambda _: None
        size = check_and_go_on(folder_store(ROOT, fs), progress)
        for image in fs.after_power_cut(random.Random(number), 1):
            log = Log.open(store_on(image), ORIGIN, [LOG_KEY], size_min=size + 280)
            assert list(inspect_log(log.reader())) == []


@pytest.mark.parametrize("share", [0, 1, 2, 3])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_any_failing_call_stops_the_log_and_harms_nothing(number: int, share: int) -> None:
    for step, position in STEPS[share::8]:
        fs, progress = disk(), Progress()
        fail_at(fs, position, OSError(number, "injected"))
        with pytest.raises(OSError, match="injected"):
            run(fs, progress)
        fs.before_step = lambda _: None
        try:
            check_and_go_on(folder_store(ROOT, fs), progress)
        except Exception as error:
            raise AssertionError(f"after a failing '{step}': {error!r}") from error


def fail_at(fs: FolderFs, position: int, failure: BaseException) -> None:
    remaining = position

    def step(_: str) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining == -1:
            raise failure

    fs.before_step = step


def test_a_log_that_failed_to_append_takes_nothing_more() -> None:
    fs = disk()
    log = Log.create(folder_store(ROOT, fs), ORIGIN, [LOG_KEY], T0)
    fail_at(fs, 5, OSError(errno.EIO, "injected"))

    with pytest.raises(OSError, match="injected"):
        log.append([entry(0)], T0)
    fs.before_step = lambda _: None
    with pytest.raises(LogStopped):
        log.append([entry(0)], T0)


def test_recovery_itself_may_be_cut() -> None:
    chance = random.Random(1)
    fs, progress = disk(), Progress()
    # Just before the checkpoint that would cover the tiles of the large batch.
    position = [i for i, (step, _) in enumerate(STEPS) if step == f"rename {ROOT}/checkpoint"][5]
    fail_at(fs, position, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(fs, progress)
    fs.kill()
    images: list[Image] = []
    fs.before_step = lambda _: images.extend(fs.after_power_cut(chance, 2))
    Log.open(folder_store(ROOT, fs), ORIGIN, [LOG_KEY])

    assert images
    for image in images:
        check_and_go_on(store_on(image), progress)


def test_the_checkpoint_on_the_disk_is_always_one_that_was_signed() -> None:
    """Nobody who reads the files while the log is written sees half of anything."""
    fs = disk()
    outside = folder_store(ROOT, fs)

    def look(_: str) -> None:
        before, fs.before_step = fs.before_step, lambda _: None
        try:
            signed = POLICY.signed_checkpoint(outside.read("checkpoint"))
        except ObjectMissing:
            assert progress.asked == 0
        else:
            assert signed.checkpoint.size in (progress.acknowledged, progress.asked)
        fs.before_step = before

    progress = Progress()
    fs.before_step = look
    run(fs, progress)
