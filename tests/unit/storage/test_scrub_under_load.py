"""Goal: whatever happens to files while they are looked at, nothing is taken for damage.

Method: a real element on a real disk. Threads create, change, rename, delete and read files
at random, log segments become history all the time, and pass after pass runs beside them
without a bound on its rate. Not one finding may come out.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import pytest
from tests.support.quiet import quiet_logs
from tests.support.stepped_element import FixedClock, make_record, options

from artstore.core.clock import SystemClock
from artstore.core.errors import FileDeleted, UnknownFile
from artstore.core.model.file import FileChange
from artstore.core.model.ids import FileId, FileIdSource
from artstore.core.model.scrub import ScrubRequest, ScrubState
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.upload import Upload

__all__ = ["quiet_logs"]

pytestmark = pytest.mark.usefixtures("quiet_logs")
THREADS = 4
STEPS = 250
PASSES = 2
IDS = FileIdSource()
NAMES = ("a.pdf", "b.txt", "c", "d.PDF")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine.open(
        options(
            str(tmp_path / "element"),
            segment_bytes=256 << 10,
            checkpoint_interval_s=0.1,
            scrub_rate_bytes_per_s=1 << 40,
        )
    )
    engine.start()
    yield engine
    engine.close()


class Worker:
    """Does what clients do, at random, with files of its own and of the others; slowly when its
    steps are through and the passes are not."""

    def __init__(
        self, engine: Engine, seed: int, files: list[FileId], enough: threading.Event
    ) -> None:
        self._engine = engine
        self._enough = enough
        self._chance = random.Random(seed)
        self._files = files

    def run(self) -> None:
        steps = [self._put, self._put, self._upload, self._rename, self._delete, self._read]
        step = 0
        while step < STEPS or not self._enough.wait(0.05):
            step += 1
            with suppress(FileDeleted, UnknownFile, IndexError):
                self._chance.choice(steps)()

    def _put(self) -> None:
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        file_id, content = self._new_id(), self._chance.randbytes(self._chance.randrange(5000))
        record = make_record(file_id, content, FixedClock(), self._chance.choice(NAMES))
        self._engine.new_files.put(record, content, None, outcomes.put)
        assert isinstance(outcomes.get(), Stored)
        self._files.append(file_id)

    def _upload(self) -> None:
        file_id, content = self._new_id(), self._chance.randbytes(200_000)
        upload = self._engine.large_files.begin(file_id, len(content), None)
        assert isinstance(upload, Upload)
        upload.write(content)
        upload.finish()
        record = make_record(file_id, content, FixedClock(), self._chance.choice(NAMES))
        self._engine.large_files.finish(upload, record, None)
        self._files.append(file_id)

    def _rename(self) -> None:
        change = FileChange(original_filename=self._chance.choice(NAMES))
        self._engine.changes.change(self._chance.choice(self._files), change, None)

    def _delete(self) -> None:
        self._engine.changes.delete(
            self._chance.choice(self._files), by="a", reason="b", trace=None
        )

    def _read(self) -> None:
        self._engine.contents.open(self._chance.choice(self._files)).close()

    def _new_id(self) -> FileId:
        return IDS.new(SystemClock().now(), self._chance.randbytes(10))


def test_the_scrub_finds_nothing_where_nothing_is_damaged(engine: Engine) -> None:
    files: list[FileId] = []
    enough, passes = threading.Event(), 0
    workers = [
        threading.Thread(target=Worker(engine, seed, files, enough).run, daemon=True)
        for seed in range(THREADS)
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            engine.scrub.command(ScrubRequest(action="start"))
            while engine.scrub.status().state is ScrubState.RUNNING:
                threading.Event().wait(0.01)
            passes += 1
            if passes == PASSES:
                enough.set()
            status = engine.scrub.status()
            found = [line for line in engine.feed.changes(0, 10_000).lines if b'"finding"' in line]
            assert found == [], [line.partition(b'"detail"')[2] for line in found]
            assert (status.findings, status.trouble) == (0, None)
    finally:
        enough.set()
    for worker in workers:
        worker.join()

    assert passes >= PASSES
    assert len(files) > STEPS
    assert not any(b'"finding"' in line for line in engine.feed.changes(0, 10_000).lines)
