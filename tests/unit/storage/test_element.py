"""What an element answers, apart from crashes."""

import pytest
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import (
    Element,
    Ids,
    Oracle,
    make_record,
    options,
    read_state,
)

from artstore.core.errors import (
    ArtStoreError,
    FileDeleted,
    FileExists,
    RevisionConflict,
    Unavailable,
    UnknownFile,
)
from artstore.core.model.file import FileChange
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.refusals import ElementInUse, ElementMismatch
from artstore.storage.engine.upload import Upload


def put(element: Element, file_id: str, content: bytes) -> Outcome:
    answers: list[Outcome] = []
    record = make_record(file_id, content, element.clock)
    element.engine.new_files.put(record, content, None, answers.append)
    element.engine.step()
    return answers[0]


def test_the_same_upload_again_gets_the_first_record(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    first = put(element, file_id, b"x")
    element.clock.advance(minutes=1)
    again = put(element, file_id, b"x")

    assert isinstance(first, Stored)
    assert first.created
    assert isinstance(again, Stored)
    assert not again.created
    assert again.record == first.record
    assert len(element.engine.feed.changes(0, 10).lines) == 1


def test_other_content_under_the_same_id_is_refused(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    put(element, file_id, b"x")
    assert isinstance(put(element, file_id, b"y"), FileExists)
    assert read_state(element.engine, file_id)[1] == b"x"
    with pytest.raises(FileExists):
        element.engine.large_files.begin(file_id, 9000, None)


def test_a_deleted_id_is_never_used_again(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.put((file_id, b"x", "a"))
    element.delete(file_id)
    assert isinstance(put(element, file_id, b"x"), FileDeleted)
    with pytest.raises(FileDeleted):
        element.engine.large_files.begin(file_id, None, None)


def test_a_large_file_that_is_there_is_not_sent_again(element: Element, ids: Ids) -> None:
    file_id, content = ids.new(), b"z" * 5000
    element.upload(file_id, content)
    record = make_record(file_id, content, element.clock)
    assert isinstance(element.engine.large_files.begin(file_id, 5000, record.sha256), Stored)


def test_a_file_is_not_seen_before_it_is_durable(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.submit(file_id, b"x")
    with pytest.raises(UnknownFile):
        element.engine.reading.record(file_id)
    assert element.engine.reading.files(None, 10) == []
    assert element.engine.head == 0
    element.engine.step()
    assert read_state(element.engine, file_id) is not None


def test_two_uploads_of_one_id_at_a_time_are_refused(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    upload = element.engine.large_files.begin(file_id, 9000, None)
    assert isinstance(upload, Upload)
    with pytest.raises(Unavailable):
        element.submit(file_id, b"x")
    element.engine.large_files.abort(upload)
    element.submit(file_id, b"x")


def test_an_aborted_upload_leaves_nothing(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    element.abort_upload(ids.new(), b"x" * 9000)
    assert list(fs.names(f"{options().root}/tmp")) == []


def test_a_change_needs_the_revision_it_expects(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.put((file_id, b"x", "a"))
    changed = element.engine.changes.change(
        file_id, FileChange(tags=("b",), expected_revision=1), None
    )
    assert changed.record.revision == 2
    with pytest.raises(RevisionConflict):
        element.engine.changes.change(file_id, FileChange(tags=("c",), expected_revision=1), None)


def test_deleting_again_gives_the_same_tombstone(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.put((file_id, b"x", "a"))
    first = element.engine.changes.delete(file_id, by="clerk", reason="wish", trace=None)
    element.clock.advance(hours=1)
    again = element.engine.changes.delete(file_id, by="other", reason="else", trace=None)
    assert first.record == again.record
    assert len(element.engine.feed.changes(0, 10).lines) == 2


def test_the_content_follows_a_new_extension(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    file_id = ids.new()
    element.put((file_id, b"x", "a.txt"))
    element.change(file_id, original_filename="a.md")
    names = list(fs.names(element.engine._foundation.layout.directory(file_id)))
    assert sorted(names) == [f"{file_id}.attr.json", f"{file_id}.md"]


def test_surplus_bytes_are_kept_aside(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    element.put((ids.new(), b"makes the directory", "a.txt"))
    file_id = ids.new()
    path = f"{element.engine._foundation.layout.directory(file_id)}/{file_id}.txt"
    fs.write(fs.create(path), b"somebody else's", 0)

    element.put((file_id, b"mine", "b.txt"))

    assert read_state(element.engine, file_id)[1] == b"mine"
    assert fs.exists(f"{path}.surplus")


def test_a_second_process_on_the_root_is_refused(element: Element, fs: SimulatedFs) -> None:
    with pytest.raises(ElementInUse):
        Element(fs, Oracle(), element.clock)


def test_the_root_of_another_element_is_refused(element: Element, fs: SimulatedFs) -> None:
    element.engine.close()
    with pytest.raises(ElementMismatch):
        Element(fs, Oracle(), element.clock, element_id="rw-1")


def test_a_stopping_element_takes_nothing(element: Element, ids: Ids) -> None:
    element.engine._writer._waiting.close()
    with pytest.raises(ArtStoreError, match="stopping"):
        element.submit(ids.new(), b"x")


def test_a_clean_stop_leaves_nothing_to_replay(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    element.put((ids.new(), b"x", "a"))
    element.engine.close()
    head = element.engine.head
    again = Element(fs, element.oracle, element.clock)
    again.engine.close()
    assert again.engine.head == head + 1  # the checkpoint of the stop, and no other
