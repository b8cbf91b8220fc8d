"""Many files in one body: strict borders; and one write of the log for all of them."""

import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import Element, FixedClock, Ids, make_record
from tests.unit.storage.test_faults import failing, inject

from artstore.core.errors import InvalidRequest, NoRoom, Unavailable
from artstore.core.model.batch import (
    BATCH_FILES_MAX,
    FILE_OVERHEAD_BYTES,
    HEAD_BYTES_MAX,
    BatchFile,
    pack_file,
    split_batch,
)
from artstore.core.model.ids import FileId
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.new_files import NewSmallFile
from artstore.storage.services.frame import parse_batch_draft

HEAD = json.dumps(
    {"original_filename": "a.txt", "uploaded_by": {"subject": "s", "name": "n", "via": "v"}}
).encode()

files = st.lists(
    st.builds(BatchFile, st.uuids().map(str), st.binary(max_size=40), st.binary(max_size=40)),
    min_size=1,
    max_size=6,
)


def body_of(batch: list[BatchFile]) -> bytes:
    return b"".join(pack_file(FileId(f.file_id), f.head, None, f.content) for f in batch)


@given(files)
def test_what_was_packed_comes_out(batch: list[BatchFile]) -> None:
    assert split_batch(body_of(batch)) == batch


@given(files, st.data())
def test_a_cut_batch_is_refused_or_ends_between_files(
    batch: list[BatchFile], data: st.DataObject
) -> None:
    body = body_of(batch)
    cut = data.draw(st.integers(0, len(body) - 1))
    borders = [len(body_of(batch[:count])) for count in range(1, len(batch))]
    if cut in borders:
        assert split_batch(body[:cut]) == batch[: borders.index(cut) + 1]
    else:
        with pytest.raises(InvalidRequest):
            split_batch(body[:cut])


@given(st.binary(max_size=300))
def test_noise_is_a_batch_or_is_refused_and_never_crashes(body: bytes) -> None:
    try:
        found = split_batch(body)
    except InvalidRequest:
        return
    # Whatever is taken for a batch is one, byte for byte.
    assert body_of(found) == body


def test_no_file_and_too_many_files_are_refused() -> None:
    one = bytes(FILE_OVERHEAD_BYTES)
    assert len(split_batch(one * BATCH_FILES_MAX)) == BATCH_FILES_MAX
    for body in (b"", one * (BATCH_FILES_MAX + 1)):
        with pytest.raises(InvalidRequest):
            split_batch(body)


def test_a_head_that_is_too_long_is_refused() -> None:
    prefix = bytes(16) + (HEAD_BYTES_MAX + 1).to_bytes(4) + bytes(4)
    with pytest.raises(InvalidRequest):
        split_batch(prefix + bytes(HEAD_BYTES_MAX + 1))


def test_each_file_has_its_own_trace(ids: Ids) -> None:
    body = pack_file(ids.new(), HEAD, "ab" * 16, b"") + pack_file(ids.new(), HEAD, None, b"")
    traces = [parse_batch_draft(file.head).trace_id for file in split_batch(body)]
    assert traces == ["ab" * 16, None]


def new_files(
    ids: Ids, clock: FixedClock, outcomes: dict[int, Outcome], count: int
) -> list[NewSmallFile]:
    return [
        NewSmallFile(
            make_record(ids.new(), b"%d" % number, clock),
            b"%d" % number,
            None,
            lambda outcome, at=number: outcomes.update({at: outcome}),
        )
        for number in range(count)
    ]


def test_a_batch_is_one_write_and_one_flush(
    element: Element, ids: Ids, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: dict[int, Outcome] = {}
    files = new_files(ids, element.clock, outcomes, 20)
    element.put((ids.new(), b"opens the segment", "a.txt"))
    handle = element.engine._foundation.log._handle
    calls: list[str] = []
    for name in ("write", "flush"):
        original = getattr(fs, name)

        def counted(at: int, *rest: object, name: str = name, call=original) -> object:  # type: ignore[no-untyped-def]
            calls.extend([name] if at == handle else [])
            return call(at, *rest)

        monkeypatch.setattr(fs, name, counted)
    element.engine.new_files.put_all(files)
    element.engine.step()

    assert calls == ["write", "flush"]
    assert all(isinstance(outcomes[number], Stored) for number in range(20))


def test_a_batch_that_finds_no_room_is_refused_whole_and_may_come_again(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    element.put((ids.new(), b"opens the segment", "a.txt"))
    outcomes: dict[int, Outcome] = {}
    files = new_files(ids, element.clock, outcomes, 5)
    handle = element.engine._foundation.log._handle
    undo = inject(fs, "write", failing(errno.ENOSPC, lambda at, *_: at == handle))
    element.engine.new_files.put_all(files)
    element.engine.step()
    assert [type(outcomes[number]) for number in range(5)] == [NoRoom] * 5

    undo()
    element.engine.new_files.put_all(files)
    element.engine.step()
    assert all(isinstance(outcomes[number], Stored) for number in range(5))


def test_room_that_ends_in_the_middle_refuses_the_rest_only(
    element: Element, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: dict[int, Outcome] = {}
    files = new_files(ids, element.clock, outcomes, 4)
    together = NoRoom("full")
    checks = iter([together, None, None, NoRoom("full"), NoRoom("full")])

    def check(_: int) -> None:
        if refusal := next(checks):
            raise refusal

    monkeypatch.setattr(element.engine._foundation.room, "check", check)
    element.engine.new_files.put_all(files)
    element.engine.step()
    assert [type(outcomes[number]) for number in range(4)] == [Stored, Stored, NoRoom, NoRoom]


def test_an_id_under_way_fails_alone(element: Element, ids: Ids) -> None:
    outcomes: dict[int, Outcome] = {}
    files = new_files(ids, element.clock, outcomes, 2)
    element.engine.new_files.put_all([files[0], files[0]._replace(done=files[1].done)])
    element.engine.step()
    assert isinstance(outcomes[0], Stored)
    assert isinstance(outcomes[1], Unavailable)


def test_random_ids_keep_their_form() -> None:
    digits = os.urandom(16)
    (found,) = split_batch(digits + bytes(8))
    assert found.file_id.replace("-", "") == digits.hex()
