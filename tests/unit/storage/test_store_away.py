"""Goal: a store that goes away between any two steps costs nobody a document, and the element
goes on by itself when it is back.

Method: objects in memory, a switch that makes the store unreachable, and the writer stepped by
hand, so that the outage begins after the log's flush.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from tests.support.stepped_element import (
    FixedClock,
    Ids,
    SteppedEngine,
    last_records,
    make_record,
    options,
    read_state,
)

from artstore.core.errors import NoRoom, Unavailable, UnknownFile
from artstore.core.model.file import FileChange
from artstore.core.model.ids import FileId
from artstore.storage.engine.backends.base import Incoming, Placeable, Placing, StoreAway, StoreFull
from artstore.storage.engine.backends.objects import ObjectBackend
from artstore.storage.engine.entries import Marker, Outcome, OutcomeUnknown, Stored
from artstore.storage.engine.identity import ElementFile

pytestmark = pytest.mark.usefixtures("quiet_logs")


class Guard:
    def check_contract(self) -> None:
        pass

    def tidy(self) -> None:
        pass


class FlakyBackend(ObjectBackend):
    """Goes away as soon as something has to be put in place."""

    away: type[StoreAway] | None = None

    def connect(self, element: ElementFile, *, is_new: bool) -> ElementFile:
        self._fail()
        return super().connect(element, is_new=is_new)

    def put_new(self, changes: Sequence[Placeable]) -> Placing:
        self._fail()
        return super().put_new(changes)

    def replay(self, change: Placeable, *, verify: bool = True) -> None:
        self._fail()
        super().replay(change, verify=verify)

    def _fail(self) -> None:
        if self.away is not None:
            raise self.away("the object store cannot be reached")


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = MemoryStore()
        self.clock = FixedClock()
        self.ids = Ids(self.clock)
        self.open()

    def open(self, away: type[StoreAway] | None = None) -> None:
        self.backend = FlakyBackend(self.store, Guard(), concurrency=4, capacity_bytes=1 << 30)
        self.backend.away = away
        self.engine = SteppedEngine.open(options(str(self.root)), None, self.clock, self.backend)

    def put(self, content: bytes, file_id: FileId | None = None) -> tuple[FileId, Outcome]:
        file_id = file_id or self.ids.new()
        answers: list[Outcome] = []
        self.engine.new_files.put(
            make_record(file_id, content, self.clock), content, None, answers.append
        )
        self.engine.step()
        return file_id, answers[0]

    def begin(self, content: bytes) -> Incoming:
        upload = self.engine.large_files.begin(self.ids.new(), len(content), None, "film.mp4")
        assert not isinstance(upload, Stored)
        upload.write(content)
        upload.finish()
        return upload

    def come_back(self) -> None:
        self.backend.away = None
        self.engine._writer.try_again()
        self.engine.check()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "root")


def test_what_was_logged_comes_first_when_the_store_is_back(bench: Bench) -> None:
    settled, _ = bench.put(b"before")
    bench.backend.away = StoreAway
    file_id, outcome = bench.put(b"during")
    assert isinstance(outcome, OutcomeUnknown)
    with pytest.raises(Unavailable):
        bench.put(b"refused")
    assert not bench.engine.info().writable
    assert read_state(bench.engine, settled) is not None, "reading has its own luck"

    bench.come_back()
    assert read_state(bench.engine, file_id) is not None
    assert bench.engine.info().writable
    _, again = bench.put(b"during", file_id)
    assert isinstance(again, Stored)
    assert not again.created
    assert set(last_records(bench.engine)) == {settled, file_id}


def test_a_group_keeps_its_order(bench: Bench) -> None:
    file_id, _ = bench.put(b"text")
    bench.backend.away = StoreAway
    with pytest.raises(OutcomeUnknown):
        bench.engine.changes.change(file_id, FileChange(original_filename="new.txt"), None)
    with pytest.raises(Unavailable):
        bench.engine.changes.delete(file_id, by="clerk", reason="wish", trace=None)
    bench.come_back()
    record = bench.engine.reading.record(file_id)
    assert (record.revision, record.original_filename) == (2, "new.txt")
    assert read_state(bench.engine, file_id) == (record.to_json(), b"text")


def test_a_large_file_whose_outcome_is_open_keeps_its_bytes(bench: Bench) -> None:
    content = b"large" * 100_000
    upload = bench.begin(content)
    record = make_record(upload.file_id, content, bench.clock, "film.mp4")
    bench.backend.away = StoreAway
    with pytest.raises(OutcomeUnknown):
        bench.engine.large_files.finish(upload, record, None)
    bench.come_back()
    assert read_state(bench.engine, upload.file_id) == (record.to_json(), content)


def test_a_start_without_the_store_catches_up_later(bench: Bench) -> None:
    bench.backend.away = StoreAway
    file_id, _ = bench.put(b"logged")
    bench.engine.close()
    bench.open(away=StoreAway)
    with pytest.raises(Unavailable):
        bench.engine.check()
    with pytest.raises(Unavailable):
        bench.engine.reading.record(file_id)
    bench.come_back()
    assert read_state(bench.engine, file_id) is not None
    bench.engine.close()
    bench.open()
    assert read_state(bench.engine, file_id) is not None


def test_no_checkpoint_covers_what_is_not_in_place(bench: Bench) -> None:
    bench.put(b"first")
    bench.backend.away = StoreAway
    file_id, _ = bench.put(b"second")
    marker = Marker(bench.engine.head)
    bench.engine._writer.submit_marker(marker)
    bench.engine.step()
    assert not marker.durable
    bench.engine.close()
    bench.open()
    assert read_state(bench.engine, file_id) is not None


def test_a_full_store_is_no_room_and_not_an_outage(bench: Bench) -> None:
    bench.backend.away = StoreFull
    file_id, _ = bench.put(b"too much")
    with pytest.raises(NoRoom):
        bench.put(b"more")
    bench.come_back()
    assert read_state(bench.engine, file_id) is not None


@pytest.mark.parametrize("step", ["existing", "attr"])
def test_an_outage_before_the_log_leaves_nothing(
    bench: Bench, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreAway("the object store cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(bench.backend, step, fail)
        if step == "attr":
            with pytest.raises(StoreAway):
                bench.engine.large_files.begin(bench.ids.new(), 9, None, "x.mp4")
            file_id = bench.ids.new()
        else:
            file_id, outcome = bench.put(b"x")
            assert isinstance(outcome, StoreAway)
            assert not isinstance(outcome, OutcomeUnknown)
    bench.engine._writer.try_again()
    with pytest.raises(UnknownFile):
        bench.engine.reading.record(file_id)
    assert last_records(bench.engine) == {}


def test_capacity_is_that_of_the_store(bench: Bench) -> None:
    bench.put(b"x" * 1000)
    capacity = bench.engine.info().capacity
    assert (capacity.total, capacity.used) == (1 << 30, 1000)
    with pytest.raises(NoRoom):
        bench.engine.admission.check_new(1 << 30)
