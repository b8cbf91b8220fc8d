"""Goal: a later state that another element has is taken over, and nothing else is."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.stepped_element import Element, FixedClock, Ids, make_record, read_state

from artstore.core.errors import (
    ArtStoreError,
    FileDeleted,
    FileExists,
    ModeForbids,
    RetentionForbids,
    RevisionConflict,
    UnknownFile,
)
from artstore.core.model.element import StorageMode
from artstore.core.model.file import Deletion, FileRecord, Hold
from artstore.core.model.ids import FileId
from artstore.core.model.retention import Retention
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.takeover import next_step

EDIT, RW, RO = StorageMode.EDIT, StorageMode.RW, StorageMode.RO


def tombstone(record: FileRecord, clock: FixedClock) -> FileRecord:
    deleted = Deletion(at=clock.now(), by="clerk", reason="wish")
    return later(record, deleted=deleted)


def later(record: FileRecord, **fields: Any) -> FileRecord:
    return record.model_copy(update={"revision": record.revision + 3, **fields})


def kept(days: int | None, clock: FixedClock) -> Retention:
    until = None if days is None else clock.now() + timedelta(days=days)
    return Retention(policy="kept", mode="compliance", retain_until=until)


@pytest.fixture
def here(clock: FixedClock, ids: Ids) -> FileRecord:
    return make_record(ids.new(), b"content", clock)


def test_the_same_record_is_no_step(here: FileRecord, clock: FixedClock) -> None:
    assert next_step(here, here, RO, clock.now()) is None


def test_a_later_record_is_an_update(here: FileRecord, clock: FixedClock) -> None:
    assert next_step(here, later(here, tags=("a",)), RW, clock.now()) is RecordType.UPDATED


def test_a_tombstone_deletes(here: FileRecord, clock: FixedClock) -> None:
    dead = tombstone(here, clock)
    assert next_step(here, dead, EDIT, clock.now()) is RecordType.DELETED
    assert next_step(None, dead, RW, clock.now()) is RecordType.DELETED
    assert next_step(dead, dead, RO, clock.now()) is None


def test_what_is_no_later_state_is_refused(here: FileRecord, clock: FixedClock, ids: Ids) -> None:
    other = make_record(here.file_id, b"another", clock)
    cases: list[tuple[FileRecord | None, FileRecord, StorageMode, type[ArtStoreError]]] = [
        (None, here, EDIT, UnknownFile),
        (None, tombstone(here, clock), RO, ModeForbids),
        (here, later(other), EDIT, FileExists),
        (here, here.model_copy(update={"tags": ("same revision",)}), EDIT, RevisionConflict),
        (later(here), here, EDIT, RevisionConflict),
        (tombstone(here, clock), later(later(here)), EDIT, FileDeleted),
        (here, later(here), RO, ModeForbids),
        (here, tombstone(here, clock), RW, ModeForbids),
    ]
    for current, wanted, mode, refusal in cases:
        with pytest.raises(refusal):
            next_step(current, wanted, mode, clock.now())


@pytest.mark.parametrize(("before", "after"), [(10, 9), (None, 10), (10, 0)])
def test_a_retention_never_becomes_shorter(
    here: FileRecord, clock: FixedClock, before: int | None, after: int | None
) -> None:
    current = here.model_copy(update={"retention": kept(before, clock)})
    shorter = Retention() if after == 0 else kept(after, clock)
    for wanted in (later(current, retention=shorter), tombstone(later(current), clock)):
        with pytest.raises(RetentionForbids):
            next_step(current, wanted.model_copy(update={"retention": shorter}), EDIT, clock.now())
    longer = later(current, retention=kept(None, clock))
    assert next_step(current, longer, EDIT, clock.now()) is RecordType.UPDATED


def test_a_tombstone_of_what_must_be_kept_is_refused(here: FileRecord, clock: FixedClock) -> None:
    held = (Hold(id="1", matter="Smith v Jones", by="counsel", at=clock.now()),)
    for fields in ({"holds": held}, {"retention": kept(1, clock)}):
        current = here.model_copy(update=fields)
        with pytest.raises(RetentionForbids):
            next_step(current, tombstone(current, clock), EDIT, clock.now())


def test_a_hold_here_stands_until_its_lifting_has_come(
    element: Element, here: FileRecord, clock: FixedClock
) -> None:
    """The other element says that it lifted the hold and deleted; only the second is told."""
    hold = Hold(id="1", matter="Smith v Jones", by="counsel", at=clock.now())
    held = here.model_copy(update={"holds": (hold,)})
    element.engine.new_files.put_copy(held, b"content", None)
    dead = tombstone(later(held, holds=()), clock)

    with pytest.raises(RetentionForbids, match="legal hold"):
        element.engine.changes.take_over(dead, None)

    assert read_state(element.engine, here.file_id) == (held.to_json(), b"content")
    element.engine.changes.take_over(later(held, holds=()), None)
    element.engine.changes.take_over(dead, None)
    assert read_state(element.engine, here.file_id) == (dead.to_json(), None)


def test_the_engine_keeps_the_revision(element: Element, here: FileRecord) -> None:
    copy = here.model_copy(update={"revision": 7})
    stored = element.engine.new_files.put_copy(copy, b"content", None)
    assert stored.created
    assert read_state(element.engine, here.file_id) == (copy.to_json(), b"content")
    assert not element.engine.new_files.put_copy(copy, b"content", None).created


def test_the_content_follows_a_new_name_and_goes_with_the_tombstone(
    element: Element, here: FileRecord, clock: FixedClock
) -> None:
    element.engine.new_files.put_copy(here, b"content", None)
    renamed = later(here, original_filename="letter.txt")
    element.engine.changes.take_over(renamed, None)
    assert read_state(element.engine, here.file_id) == (renamed.to_json(), b"content")
    # Renamed and deleted meanwhile: the content lies under the name in between.
    dead = tombstone(renamed.model_copy(update={"original_filename": "letter.md"}), clock)
    element.engine.changes.take_over(dead, None)
    assert read_state(element.engine, here.file_id) == (dead.to_json(), None)
    assert files_of(element, here.file_id) == [f"{here.file_id}.attr.json"]
    assert not element.engine.changes.take_over(dead, None).created


def test_a_tombstone_alone_stays(element: Element, here: FileRecord, clock: FixedClock) -> None:
    dead = tombstone(here, clock)
    element.engine.changes.take_over(dead, None)
    assert read_state(element.engine, here.file_id) == (dead.to_json(), None)
    with pytest.raises(FileDeleted):
        element.engine.new_files.put_copy(here, b"content", None)


def files_of(element: Element, file_id: FileId) -> list[str]:
    directory = element.engine._foundation.layout.directory(file_id)
    return sorted(name for name in element.fs.names(directory) if name.startswith(file_id))
