"""An id that is said to be new has no file, however files come in."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import Element, FixedClock, Ids, make_record

from artstore.core.errors import ArtStoreError, FileDeleted
from artstore.core.model.file import Deletion
from artstore.core.model.ids import FileId
from artstore.storage.engine import newcomers
from artstore.storage.engine.backends.base import Placeable
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.newcomers import Newcomers
from artstore.storage.engine.record import RecordType

LAYOUT = Layout("/srv")


@pytest.fixture
def known(fs: SimulatedFs) -> Newcomers:
    return Newcomers(fs, LAYOUT)


def make_hour(fs: SimulatedFs, file_id: FileId) -> None:
    path = "/srv"
    for name in LAYOUT.directory(file_id).removeprefix("/srv/").split("/"):
        path = f"{path}/{name}"
        if not fs.exists(path):
            fs.make_directory(path)


def test_what_was_noted_is_doubted_and_the_rest_is_new(known: Newcomers, ids: Ids) -> None:
    noted = [ids.new() for _ in range(200)]
    assert known.doubtful(noted) == []
    known.note(noted)
    assert known.doubtful(noted) == noted
    assert known.doubtful([ids.new()]) == []


def test_what_was_there_before_is_doubted(known: Newcomers, fs: SimulatedFs, ids: Ids) -> None:
    file_id = ids.new()
    make_hour(fs, file_id)
    assert known.doubtful([file_id]) == [file_id]
    known.note([file_id])
    assert known.doubtful([ids.new()]) != []


def test_an_hour_that_was_let_go_is_doubted_when_it_comes_again(
    known: Newcomers, fs: SimulatedFs, ids: Ids, clock: FixedClock
) -> None:
    first = ids.new()
    assert known.doubtful([first]) == []
    known.note([first])
    make_hour(fs, first)
    for _ in range(newcomers.HOURS_MAX):
        clock.advance(hours=1)
        assert known.doubtful([ids.new()]) == []
    assert known.doubtful([first]) == [first]


def test_a_disk_that_cannot_be_asked_leaves_all_in_doubt(
    fs: SimulatedFs, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str) -> bool:
        raise OSError(5, path)

    monkeypatch.setattr(fs, "exists", broken)
    file_id = ids.new()
    assert Newcomers(fs, LAYOUT).doubtful([file_id]) == [file_id]


def put_small(element: Element, file_id: FileId) -> None:
    element.put((file_id, b"content", "letter.pdf"))


def put_large(element: Element, file_id: FileId) -> None:
    element.upload(file_id, b"content", "letter.pdf")


def put_tombstone(element: Element, file_id: FileId) -> None:
    deletion = Deletion(at=datetime(2026, 11, 22, tzinfo=UTC), by="clerk", reason="")
    record = make_record(file_id, b"content", element.clock)
    element.engine.changes.take_over(record.model_copy(update={"deleted": deletion}), None)


@pytest.mark.parametrize(
    ("come_in", "expected"),
    [(put_small, Stored), (put_large, Stored), (put_tombstone, FileDeleted)],
)
def test_a_file_is_found_again_however_it_came(
    element: Element,
    ids: Ids,
    come_in: Callable[[Element, FileId], None],
    expected: type[Stored] | type[ArtStoreError],
) -> None:
    put_small(
        element, ids.new()
    )  # the directory of the hour is there, and was made by this element
    file_id = ids.new()
    come_in(element, file_id)
    answers: list[Outcome] = []
    record = make_record(file_id, b"content", element.clock)
    element.engine.new_files.put(record, b"content", None, answers.append)
    element.engine.step()
    assert isinstance(answers[0], expected)
    assert not isinstance(answers[0], Stored) or not answers[0].created


def test_what_is_put_in_place_alone_is_noted_too(element: Element, ids: Ids) -> None:
    """A repair, which another thread does, or a change that was owed."""
    put_small(element, ids.new())
    record = make_record(ids.new(), b"content", element.clock)
    backend = element.engine._foundation.backend
    assert not backend.existing([record.file_id])
    backend.replay(Placeable(RecordType.CREATED, 9, record, record.to_json(), b"content", None))
    assert backend.existing([record.file_id]) == [record.file_id]
