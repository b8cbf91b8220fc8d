"""Uploads that come in parts, on an element without threads and a simulated disk."""

import hashlib

import pytest
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import (
    Element,
    FixedClock,
    Ids,
    check_element,
    options,
    read_state,
)

from artstore.core.errors import (
    NoRoom,
    OffsetConflict,
    SizeMismatch,
    UnknownUpload,
    UploadBusy,
)
from artstore.core.model.ids import FileId
from artstore.storage.engine.open_upload import Checksum


def restarted(element: Element) -> Element:
    """After kill -9: what the process knew is gone, the disk's caches are not."""
    element.fs.locked.clear()
    return Element(element.fs, element.oracle, element.clock)


def test_parts_become_one_file(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 10)
    element.add_part(file_id, b"hello")
    element.add_part(file_id, b"world")
    assert read_state(element.engine, file_id) is None

    element.complete_parts(file_id)

    assert check_element(element.engine, element.oracle)[file_id]
    with pytest.raises(UnknownUpload):
        element.engine.open_uploads.find(file_id)


def test_a_restart_forgets_no_part_and_no_promise(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    free = element.engine.info().capacity.available
    element.begin_parts(file_id, 5000)
    element.add_part(file_id, b"x" * 3000)

    element = restarted(element)

    assert element.engine.open_uploads.find(file_id).offset == 3000
    assert free - element.engine.info().capacity.available >= 2000
    element.add_part(file_id, b"y" * 2000)
    element.complete_parts(file_id)
    check_element(element.engine, element.oracle)


def test_bytes_that_were_not_kept_do_not_count(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 6)
    part = element.engine.open_uploads.begin_part(file_id, 0)
    part.write(b"wrong")
    part.drop()

    element.add_part(file_id, b"right!")
    element.complete_parts(file_id)

    check_element(element.engine, element.oracle)


def test_one_writer_at_a_time(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 6)
    uploads = element.engine.open_uploads
    part = uploads.begin_part(file_id, 0)

    with pytest.raises(UploadBusy):
        uploads.begin_part(file_id, 0)
    with pytest.raises(UploadBusy):
        uploads.remove(file_id)

    part.drop()
    element.add_part(file_id, b"abcdef")


def test_a_part_begins_where_the_last_one_ended(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 6)
    element.add_part(file_id, b"abc")

    for offset in (0, 2, 4, 6, 1 << 40):
        with pytest.raises(OffsetConflict) as caught:
            element.engine.open_uploads.begin_part(file_id, offset)
        assert caught.value.fields == {"offset": 3}


def test_no_more_than_was_announced(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 3)
    part = element.engine.open_uploads.begin_part(file_id, 0)
    with pytest.raises(SizeMismatch):
        part.write(b"four")
    part.drop()
    with pytest.raises(SizeMismatch), element.engine.open_uploads.whole(file_id):
        raise AssertionError("it is not whole")


def test_room_is_promised_and_given_back(element: Element, fs: SimulatedFs, ids: Ids) -> None:
    fs.bytes_free = 10_000_000
    element = restarted(element)
    uploads = element.engine.open_uploads
    first = ids.new()
    element.begin_parts(first, 9_000_000)
    with pytest.raises(NoRoom):
        element.begin_parts(ids.new(), 2_000_000)

    uploads.remove(first)

    element.begin_parts(ids.new(), 2_000_000)


def test_what_expired_is_gone(element: Element, clock: FixedClock, ids: Ids) -> None:
    old, new = ids.new(), ids.new()
    element.begin_parts(old, 5)
    clock.advance(hours=20)
    element.begin_parts(new, 5)
    clock.advance(hours=5)

    with pytest.raises(UnknownUpload):
        element.engine.open_uploads.find(old)
    assert element.engine.open_uploads.remove_expired() == 1
    assert element.engine.open_uploads.find(new)
    assert names(element, old) == []


def test_a_full_volume_keeps_what_was_acknowledged(
    element: Element, fs: SimulatedFs, ids: Ids
) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 4000)
    element.add_part(file_id, b"x" * 1000)
    fs.bytes_free = 0
    part = element.engine.open_uploads.begin_part(file_id, 1000)
    with pytest.raises(NoRoom):
        part.write(b"y" * 3000)
    part.drop()

    fs.bytes_free = 1 << 30
    assert element.engine.fault is None
    element.add_part(file_id, b"z" * 3000)
    element.complete_parts(file_id)
    check_element(element.engine, element.oracle)


def test_a_flush_that_fails_ends_the_writing(
    element: Element, fs: SimulatedFs, ids: Ids, quiet_logs: None
) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 4)
    fs.flushes_that_fail = 1
    with pytest.raises(Exception, match="volume"):
        element.add_part(file_id, b"abcd")

    assert element.engine.fault is not None
    assert element.engine.open_uploads.find(file_id).offset == 0


def test_an_unreadable_state_stays_for_the_operator(
    element: Element, fs: SimulatedFs, ids: Ids, quiet_logs: None
) -> None:
    file_id = ids.new()
    element.begin_parts(file_id, 4)
    path = f"{options().root}/uploads/{file_id}.json"
    handle = fs.open(path, writable=True)
    fs.write(handle, b"\0\0\0", 0)
    fs.close(handle)

    element = restarted(element)

    with pytest.raises(UnknownUpload):
        element.engine.open_uploads.find(file_id)
    assert len(names(element, file_id)) == 2


def test_half_of_the_pair_is_removed_at_the_start(element: Element, ids: Ids) -> None:
    first, second = ids.new(), ids.new()
    element.begin_parts(first, 4)
    element.begin_parts(second, 4)
    root = f"{options().root}/uploads"
    element.fs.unlink(f"{root}/{first}")
    element.fs.unlink(f"{root}/{second}.json")

    element = restarted(element)

    assert names(element, first) == names(element, second) == []


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_checksums(algorithm: str) -> None:
    good = hashlib.new(algorithm, b"part").digest()
    checksum = Checksum(algorithm, good)  # type: ignore[arg-type]
    checksum.update(b"pa")
    checksum.update(b"rt")
    checksum.check()
    checksum.update(b"!")
    with pytest.raises(Exception, match="send it again"):
        checksum.check()


def names(element: Element, file_id: FileId) -> list[str]:
    directory = f"{options().root}/uploads"
    return [name for name in element.fs.names(directory) if name.startswith(file_id)]
