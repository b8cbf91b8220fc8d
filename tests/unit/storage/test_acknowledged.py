"""Goal: a small file is acknowledged as soon as the log holds it, and nobody ever notices that it
was not in its place yet.

Method: a real engine with its threads, on a volume that makes no file until it is let; what is
asked meanwhile has to wait, and then finds the file.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaits
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.support.stepped_element import FixedClock, Ids, make_record, options, read_state

from artstore.core.errors import FileBusy, FileDeleted, FileExists
from artstore.core.model.file import FileChange
from artstore.core.model.ids import FileId
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.fs import LocalFs

pytestmark = pytest.mark.usefixtures("quiet_logs")
CONTENT = b"a letter"
LOOK_S = 0.3
"""Whoever does not wait has answered by then."""


class SlowVolume(LocalFs):
    """Makes files of the archive when it may; the log goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_place = threading.Event()

    def create(self, path: str) -> int:
        if "/data/" in path:
            assert self.may_place.wait(30)
        return super().create(path)


class Bench:
    def __init__(self, root: Path) -> None:
        self.volume = SlowVolume()
        self.clock = FixedClock()
        self.ids = Ids(self.clock)
        self.engine = Engine.open(options(str(root), has_helper=False), self.volume, self.clock)
        self.engine.start()
        self.threads = ThreadPoolExecutor(8)

    def put(self) -> FileId:
        """Acknowledged on return."""
        file_id = self.ids.new()
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        record = make_record(file_id, CONTENT, self.clock)
        self.engine.new_files.put(record, CONTENT, None, outcomes.put)
        assert isinstance(outcomes.get(timeout=30), Stored)
        return file_id

    def ask(self, question: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
        """It has to wait."""
        asked = self.threads.submit(question, *arguments, **named)
        with pytest.raises(StillWaits):
            asked.result(LOOK_S)
        return asked

    def close(self) -> None:
        self.volume.may_place.set()
        self.threads.shutdown()
        self.engine.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "element")
    yield bench
    bench.close()


def test_who_asks_for_it_waits_until_it_is_in_place(bench: Bench) -> None:
    file_id = bench.put()
    head = bench.engine.head
    record, listing = (
        bench.ask(read_state, bench.engine, file_id),
        bench.ask(bench.engine.reading.files, None, 10),
    )
    assert bench.engine.head == head, "the feed told of a file that cannot be read"

    bench.volume.may_place.set()
    state = record.result(30)
    assert state[1] == CONTENT
    assert listing.result(30) == [state[0]]
    assert bench.engine.head == head + 1


def test_the_same_again_is_answered_when_it_is_in_place(bench: Bench) -> None:
    file_id = bench.put()
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    bench.engine.new_files.put(
        make_record(file_id, CONTENT, bench.clock), CONTENT, None, outcomes.put
    )
    large = bench.ask(bench.engine.large_files.begin, file_id, 7, "0" * 64)
    assert outcomes.empty()

    bench.volume.may_place.set()
    same = outcomes.get(timeout=30)
    # Whichever of the two comes second finds the first one at work.
    assert isinstance(same, FileBusy) or (isinstance(same, Stored) and not same.created)
    assert isinstance(large.exception(30), FileBusy | FileExists)
    assert not (isinstance(same, FileBusy) and isinstance(large.exception(), FileBusy))


def test_changes_come_behind_it(bench: Bench) -> None:
    file_id = bench.put()
    changed = bench.ask(
        bench.engine.changes.change, file_id, FileChange(original_filename="new.txt"), None
    )
    bench.volume.may_place.set()
    assert changed.result(30).record.revision == 2
    assert (
        bench.engine.changes.delete(file_id, by="clerk", reason="wish", trace=None).record.revision
        == 3
    )
    with pytest.raises(FileDeleted):
        bench.engine.contents.open(file_id)


def test_a_listing_waits_only_for_what_was_acknowledged_before(bench: Bench) -> None:
    """Or under load it would never come."""
    first = bench.put()
    listing = bench.ask(bench.engine.reading.files, None, 10)
    later = bench.ids.new()
    bench.engine._foundation.claims.take_new_in_turn(later)
    bench.volume.may_place.set()
    assert len(listing.result(30)) == 1
    bench.engine._foundation.claims.release(later)
    assert bench.engine.reading.record(first).size == len(CONTENT)


def test_a_stop_puts_it_in_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "element")
    file_id = bench.put()
    stopping = bench.ask(bench.engine.close)
    bench.volume.may_place.set()
    stopping.result(30)
    bench.threads.shutdown()
    again = Engine.open(options(str(tmp_path / "element"), has_helper=False), LocalFs())
    assert read_state(again, file_id) is not None
    again.close()
