"""Goal: whoever implements `Backend` keeps its contract in the same way.

Method: the same statements for the element's own volume, a store in memory and a real
SeaweedFS. What may be repeated is repeated.
"""

import dataclasses
import os
from typing import Any

import pytest
from tests.integration.storage.backends.conftest import Place
from tests.support.stepped_element import FixedClock, Ids, make_record

from artstore.core.model.file import Deletion, FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine import sidecar
from artstore.storage.engine.backends.base import Backend, Incoming, Placeable
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.record import RecordType

LARGE = os.urandom(11 << 20)


class Room:
    def __init__(self) -> None:
        self.promised = 0

    def check(self, size: int) -> None:
        pass

    def promise(self, size: int) -> None:
        self.promised += size

    def release(self, size: int) -> None:
        self.promised -= size


@dataclasses.dataclass
class Bench:
    """A connected backend, and changes to give to it."""

    backend: Backend
    clock: FixedClock
    ids: Ids
    room: Room = dataclasses.field(default_factory=Room)
    sequence: int = 0

    def created(
        self, content: bytes | None, record: FileRecord, name: str | None = None
    ) -> Placeable:
        return self.change(RecordType.CREATED, record, content, name)

    def change(
        self,
        kind: RecordType,
        record: FileRecord,
        content: bytes | None = None,
        name: str | None = None,
    ) -> Placeable:
        self.sequence += 1
        return Placeable(kind, self.sequence, record, record.to_json(), content, name)

    def small(self, content: bytes = b"hello", name: str = "letter.pdf") -> Placeable:
        return self.created(content, make_record(self.ids.new(), content, self.clock, name))

    def upload(self, content: bytes, name: str = "film.mp4") -> tuple[Incoming, FileRecord]:
        record = make_record(self.ids.new(), content, self.clock, name)
        file_id = record.file_id
        incoming = self.backend.begin_upload(
            file_id, f"{file_id}.mp4", len(content), self.room, _no_failure
        )
        for start in range(0, len(content), 1 << 20):
            incoming.write(content[start : start + (1 << 20)])
        return incoming, record

    def content(self, record: FileRecord) -> bytes:
        opened = self.backend.open(record)
        data = b""
        while len(data) < opened.size:
            data += opened.read(1 << 20, len(data))
        opened.close()
        return data

    def record(self, file_id: FileId) -> FileRecord:
        return sidecar.parse(self.backend.attr(file_id), file_id)


def _no_failure(what: str, error: Exception) -> None:
    raise AssertionError(f"{what}: {error}")


def element(feed: str = "a", **changes: Any) -> ElementFile:
    values: dict[str, Any] = {
        "element_id": "edit-1",
        "created_at": FixedClock().now(),
        "mode": "edit",
        "feed_id": feed * 32,
        **changes,
    }
    return ElementFile(**values)


@pytest.fixture
def bench(place: Place, clock: FixedClock, ids: Ids) -> Bench:
    backend = place.open()
    backend.connect(element(), is_new=True)
    return Bench(backend, clock, ids)


def test_nothing_is_there_at_first(bench: Bench) -> None:
    file_id = bench.ids.new()
    assert list(bench.backend.ids_after(FileId(""))) == []
    assert list(bench.backend.existing([file_id])) == []
    with pytest.raises(FileNotFoundError):
        bench.backend.attr(file_id)
    with pytest.raises(FileNotFoundError):
        bench.backend.open(make_record(file_id, b"x", bench.clock))


@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 5000], ids=len)
def test_new_small_files_are_read_as_they_were(bench: Bench, content: bytes) -> None:
    changes = [bench.small(content) for _ in range(20)]
    placed = bench.backend.put_new(changes)()
    assert placed == {change.sequence for change in changes}
    for change in changes:
        assert bench.record(change.record.file_id) == change.record
        assert bench.content(change.record) == content


def test_those_that_exist_are_named(bench: Bench) -> None:
    there = [bench.small() for _ in range(5)]
    bench.backend.put_new(there)()
    bench.clock.advance(hours=3)
    later = bench.small()
    bench.backend.put_new([later])()
    asked = [change.record.file_id for change in (*there, later)] + [bench.ids.new()]
    assert set(bench.backend.existing(asked)) == set(asked[:-1])


def test_replay_may_be_repeated(bench: Bench) -> None:
    change = bench.small(b"once")
    for verify in (False, True, True):
        bench.backend.replay(change, verify=verify)
    bench.backend.put_new([change])()
    bench.backend.replay(change)
    assert bench.content(change.record) == b"once"
    assert list(bench.backend.ids_after(FileId(""))) == [change.record.file_id]


def test_a_replay_brings_the_content_back(bench: Bench) -> None:
    """A crash may have left the attr.json alone on some backends; the log has the content."""
    change = bench.small(b"precious")
    bench.backend.put_new([change])()
    deleted = bench.change(RecordType.DELETED, _tombstone(change.record))
    bench.backend.replay(deleted)
    fresh = bench.small(b"precious")
    bench.backend.replay(fresh)
    assert bench.content(fresh.record) == b"precious"


def test_a_record_is_replaced_whole(bench: Bench) -> None:
    change = bench.small()
    bench.backend.put_new([change])()
    changed = change.record.model_copy(update={"revision": 2, "tags": ("а", "b")})
    for _ in range(2):
        bench.backend.replay(bench.change(RecordType.UPDATED, changed))
    assert bench.record(changed.file_id) == changed
    assert bench.content(changed) == b"hello"


def test_content_follows_a_new_name(bench: Bench) -> None:
    change = bench.small(b"text", "letter.pdf")
    bench.backend.put_new([change])()
    renamed = change.record.model_copy(update={"revision": 2, "original_filename": "letter.txt"})
    former = f"{change.record.file_id}.pdf"
    bench.backend.prepare(renamed, former)
    assert bench.content(change.record) == b"text", "until then it is read as before"
    update = bench.change(RecordType.UPDATED, renamed, None, former)
    for _ in range(2):
        bench.backend.replay(update)
    assert bench.content(renamed) == b"text"
    with pytest.raises(FileNotFoundError):
        bench.backend.open(change.record)


def test_a_deleted_file_leaves_its_tombstone(bench: Bench) -> None:
    change = bench.small()
    bench.backend.put_new([change])()
    tombstone = _tombstone(change.record)
    deletion = bench.change(RecordType.DELETED, tombstone)
    for _ in range(2):
        bench.backend.replay(deletion)
    assert bench.record(tombstone.file_id) == tombstone
    with pytest.raises(FileNotFoundError):
        bench.backend.open(change.record)
    assert list(bench.backend.existing([tombstone.file_id])) == [tombstone.file_id]


def test_large_content_is_there_once_its_record_is(bench: Bench) -> None:
    incoming, record = bench.upload(LARGE)
    assert incoming.finish() == record.sha256
    assert list(bench.backend.ids_after(FileId(""))) == []
    change = bench.created(None, record, incoming.name)
    bench.backend.replay(change, verify=False)
    bench.backend.replay(change)
    assert bench.content(record) == LARGE
    assert bench.room.promised == 0


def test_any_part_of_large_content_is_read(bench: Bench) -> None:
    incoming, record = bench.upload(LARGE)
    incoming.finish()
    bench.backend.replay(bench.created(None, record, incoming.name))
    opened = bench.backend.open(record)
    for start, length in ((len(LARGE) - 3, 3), (5, 1), (1 << 20, 100), (0, 10), (9 << 20, 1000)):
        assert opened.read(length, start) == LARGE[start : start + length]
    opened.close()


@pytest.mark.parametrize("is_finished", [False, True])
def test_an_aborted_upload_leaves_nothing(bench: Bench, is_finished: bool) -> None:
    incoming, record = bench.upload(LARGE)
    if is_finished:
        incoming.finish()
    incoming.abort()
    with pytest.raises(FileNotFoundError):
        bench.backend.open(record)
    assert bench.room.promised == 0


@pytest.mark.parametrize("is_kept", [False, True])
def test_bytes_that_lie_on_the_volume_are_adopted(
    bench: Bench, place: Place, is_kept: bool
) -> None:
    record = make_record(bench.ids.new(), LARGE, bench.clock, "film.mp4")
    path = place.volume / "adopted"
    path.write_bytes(LARGE)
    incoming = bench.backend.adopt(
        str(path),
        record.file_id,
        f"{record.file_id}.mp4",
        record.sha256,
        room=bench.room,
        fail=_no_failure,
    )
    assert (incoming.size, incoming.finish()) == (len(LARGE), record.sha256)
    if is_kept:
        bench.backend.replay(bench.created(None, record, incoming.name))
        path.unlink()
        assert bench.content(record) == LARGE
    else:
        incoming.abort()
        assert path.read_bytes() == LARGE
        with pytest.raises(FileNotFoundError):
            bench.backend.open(record)
    assert bench.room.promised == 0


def test_a_guessed_name_does_no_harm(bench: Bench) -> None:
    incoming, record = bench.upload(b"short", name="really.txt")
    incoming.finish()
    bench.backend.prepare(record, incoming.name)
    bench.backend.replay(bench.created(None, record, incoming.name), verify=False)
    assert bench.content(record) == b"short"


def test_files_are_listed_in_order_from_anywhere(bench: Bench) -> None:
    changes = []
    for _ in range(3):
        changes += [bench.small() for _ in range(7)]
        bench.clock.advance(hours=25)
    bench.backend.put_new(list(reversed(changes)))()
    expected = sorted(change.record.file_id for change in changes)
    assert list(bench.backend.ids_after(FileId(""))) == expected
    for position in (0, 6, 7, 20):
        assert list(bench.backend.ids_after(expected[position])) == expected[position + 1 :]


def test_each_keeps_the_order(bench: Bench) -> None:
    assert list(bench.backend.each(lambda n: n * 2, range(100))) == [n * 2 for n in range(100)]


def test_another_process_finds_everything(bench: Bench, place: Place) -> None:
    change = bench.small()
    bench.backend.put_new([change])()
    bench.backend.settle(element())
    again = place.open()
    assert again.connect(element(), is_new=False) == element()
    assert list(again.ids_after(FileId(""))) == [change.record.file_id]


def test_history_may_be_given_again(bench: Bench) -> None:
    for _ in range(2):
        bench.backend.keep_history(["/log/1-9.history.gz"], lambda path: path.encode())


def _tombstone(record: FileRecord) -> FileRecord:
    deletion = Deletion(at=record.uploaded_at, by="clerk", reason="wish")
    return record.model_copy(update={"revision": record.revision + 1, "deleted": deletion})
