"""A volume that is full or fails: clean answers, nothing harmed."""

import errno
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.simulated_fs import CrashPlan, SimulatedFs
from tests.support.stepped_element import (
    Element,
    FixedClock,
    Ids,
    Oracle,
    check_element,
    make_record,
    read_state,
)

from artstore.core.errors import NoRoom, Unavailable
from artstore.storage.engine.entries import Outcome, OutcomeUnknown, Stored
from artstore.storage.engine.upload import Upload


def failing(number: int, when: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
    """A system call that fails if `when` says so of its arguments."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **fields: Any) -> Any:
            if when(*args):
                raise OSError(number, "injected")
            return original(*args, **fields)

        return call

    return wrap


def inject(fs: SimulatedFs, name: str, fault: Callable[..., Any]) -> Callable[[], None]:
    original = getattr(fs, name)
    setattr(fs, name, fault(original))
    return lambda: setattr(fs, name, original)


def put(element: Element, ids: Ids, content: bytes = b"x" * 900) -> Outcome:
    answers: list[Outcome] = []
    record = make_record(ids.new(), content, element.clock)
    element.engine.new_files.put(record, content, None, answers.append)
    element.engine.step()
    return answers[0]


def test_a_failed_flush_fails_all_who_wait_and_is_never_repeated(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    element.put((ids.new(), b"safe", "a"))
    waiting = [ids.new() for _ in range(3)]
    answers: list[Outcome] = []
    for file_id in waiting:
        record = make_record(file_id, b"x", element.clock)
        element.engine.new_files.put(record, b"x", None, answers.append)
    flushes: list[int] = []

    def broken(handle: int) -> None:
        flushes.append(handle)
        raise OSError(errno.EIO, "injected")

    fs.flush = broken  # type: ignore[method-assign]
    element.engine.step()

    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 3
    assert len(flushes) == 1
    assert not element.engine.info().writable
    with pytest.raises(Unavailable):
        element.engine.check()
    with pytest.raises(Unavailable):
        element.submit(ids.new(), b"y")
    with pytest.raises(Unavailable):
        element.engine.changes.delete(element.oracle.ids[0], by="a", reason="", trace=None)
    assert len(flushes) == 1
    element.oracle.open.clear()
    check_element(element.engine, element.oracle)


def test_pages_lost_in_a_failed_flush_are_not_believed_by_the_next_start(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    """The kernel marks the pages clean, although they never reached the disk (ATC'20)."""
    element.put((ids.new(), b"safe", "a"))
    lost = ids.new()
    element.submit(lost, b"x" * 900)
    original = fs.flush

    def lossy(handle: int) -> None:
        fs._file(handle).pending = []
        raise OSError(errno.EIO, "injected")

    fs.flush = lossy  # type: ignore[method-assign]
    element.engine.step()
    fs.flush = original  # type: ignore[method-assign]
    fs.kill()
    element.oracle.open.clear()

    again = Element(fs, element.oracle, element.clock)
    again.put((ids.new(), b"after", "b"))
    check_element(again.engine, again.oracle)
    assert read_state(again.engine, lost) is None
    # And what it did since survives a power cut.
    fs.kill()
    cut = SimulatedFs(fs.image(CrashPlan(set(), {})))
    check_element(Element(cut, again.oracle, element.clock).engine, again.oracle)


def test_no_room_for_a_segment_is_a_clean_refusal(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    undo = inject(fs, "create", failing(errno.ENOSPC, lambda path: path.endswith("spare")))
    assert isinstance(put(element, ids), NoRoom)
    assert element.engine.fault is None
    undo()
    assert isinstance(put(element, ids), Stored)


def test_no_room_while_the_log_is_written(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    """As on file systems that copy on write."""
    assert isinstance(put(element, ids), Stored)
    handle = element.engine._foundation.log._handle
    undo = inject(fs, "write", failing(errno.ENOSPC, lambda h, *_: h == handle))
    assert isinstance(put(element, ids), NoRoom)
    undo()
    assert isinstance(put(element, ids), Stored)
    assert len(element.engine.reading.files(None, 10)) == 2


def test_a_promised_file_gets_the_room_of_the_spare(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    assert isinstance(put(element, ids), Stored)
    element.engine.checkpoint()
    spare = f"{element.engine._foundation.layout.log}/spare"
    assert fs.exists(spare)
    inject(fs, "create", failing(errno.ENOSPC, lambda _: fs.exists(spare)))
    assert isinstance(put(element, ids), Stored)
    assert not fs.exists(spare)
    assert element.engine.fault is None


def test_a_promised_file_waits_for_room_when_there_is_no_spare(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    """The volume is filled by others before the spare is made."""
    settled = ids.new()
    element.put((settled, b"before", "a.txt"))
    undo = inject(
        fs, "create", failing(errno.ENOSPC, lambda path: "/data/" in path or "/tmp/" in path)
    )
    file_id = ids.new()
    element.put((file_id, b"promised", "b.txt"))
    assert file_id in element.oracle.settled
    with pytest.raises(NoRoom, match="volume"):
        element.submit(ids.new(), b"more")
    with pytest.raises(Unavailable, match="when the element is well again"):
        element.engine.reading.record(file_id)
    assert read_state(element.engine, settled) is not None
    element.engine._writer.try_again()
    assert not element.engine.info().writable, "there is no room yet"

    undo()
    element.engine._writer.try_again()
    assert element.engine.info().writable
    element.oracle.open = {}
    after = ids.new()
    element.put((after, b"after", "c.txt"))
    assert set(check_element(element.engine, element.oracle)) == {settled, file_id, after}


def test_a_file_that_cannot_be_placed_is_there_after_the_next_start(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    undo = inject(fs, "create", failing(errno.EIO, lambda path: path.endswith("attr.json")))
    undo_rename = inject(fs, "rename", failing(errno.EIO))
    file_id = ids.new()
    element.submit(file_id, b"promised to the log")
    # The first group opens a segment, which is a rename too.
    undo_rename()
    undo_new = inject(fs, "create", failing(errno.EIO, lambda path: path.endswith(".new")))
    element.engine.step()
    assert element.engine.fault is not None
    # It was acknowledged when the log had it, and is not said to be unknown.
    assert file_id in element.oracle.settled
    with pytest.raises(Unavailable, match="when the element is well again"):
        element.engine.reading.record(file_id)
    assert element.engine.reading.files(None, 10) == []
    undo()
    undo_new()
    fs.kill()

    again = Element(fs, element.oracle, element.clock)
    found = check_element(again.engine, again.oracle)
    assert found[file_id] == element.oracle.settled[file_id]


def test_a_full_volume_refuses_before_anything_is_written(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    element.put((ids.new(), b"x", "a"))
    fs.bytes_free = 100
    element.clock.advance(seconds=1)
    with pytest.raises(NoRoom):
        element.submit(ids.new(), b"y" * 101)
    with pytest.raises(NoRoom):
        element.engine.large_files.begin(ids.new(), 101, None)
    element.oracle.open.clear()
    # Deleting is what one wants to do now; the log has its room already.
    fs.bytes_free = 8192
    element.delete(element.oracle.ids[0])


def test_uploads_under_way_keep_their_room(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    fs.bytes_free = 10_000
    element.clock.advance(seconds=1)
    first = element.engine.large_files.begin(ids.new(), 6000, None)
    assert isinstance(first, Upload)
    with pytest.raises(NoRoom):
        element.engine.large_files.begin(ids.new(), 6000, None)
    element.engine.large_files.abort(first)
    second = element.engine.large_files.begin(ids.new(), 6000, None)
    assert isinstance(second, Upload)
    element.engine.large_files.abort(second)


def test_a_volume_that_fills_up_during_an_upload(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    upload = element.engine.large_files.begin(ids.new(), None, None)
    assert isinstance(upload, Upload)
    upload.write(b"x" * 5000)
    fs.bytes_free = 10
    with pytest.raises(NoRoom):
        upload.write(b"x" * 5000)
    element.engine.large_files.abort(upload)
    assert list(fs.names(f"{element.engine._foundation.layout.staging}")) == []
    assert element.engine.fault is None


def test_a_large_file_whose_flush_fails_turns_the_element_read_only(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    upload = element.engine.large_files.begin(ids.new(), None, None)
    assert isinstance(upload, Upload)
    upload.write(b"x" * 5000)
    undo = inject(fs, "flush", failing(errno.EIO))
    with pytest.raises(Unavailable):
        upload.finish()
    undo()
    element.engine.large_files.abort(upload)
    with pytest.raises(Unavailable):
        element.engine.check()


def test_a_checkpoint_that_fails_is_not_written(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    element.put((ids.new(), b"x", "a"))
    undo = inject(fs, "flush_volume", failing(errno.EIO))
    with pytest.raises(OSError, match="injected"):
        element.engine.checkpoint()
    undo()
    fs.kill()
    replayed = Element(fs, Oracle(settled=dict(element.oracle.settled)), FixedClock())
    check_element(replayed.engine, replayed.oracle)


def test_too_much_that_waits_is_refused(
    element: Element, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artstore.storage.engine.waiting.QUEUE_BYTES_MAX", 5000)
    element.submit(ids.new(), b"x" * 3000)
    with pytest.raises(Unavailable, match="busy"):
        element.submit(ids.new(), b"x" * 3000)
    element.engine.step()
    element.submit(ids.new(), b"x" * 3000)
