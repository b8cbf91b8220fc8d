"""Who gets a file after a failure: the next element, the same one again, or nobody.

A scripted writer fails exactly where a test says; the rule must not store a file twice.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from tests.support.fake_element import record_of
from tests.support.fake_shelf import UPLOADER
from tests.support.rules import admitting_intake

from artstore.core.errors import (
    ArtStoreError,
    DigestMismatch,
    FileExists,
    InternalError,
    ModeForbids,
    NoRoom,
    Unavailable,
)
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileDraft, FileRecord
from artstore.ingester.services.content import SMALL_BYTES, Arrived, Flowing, take
from artstore.ingester.services.flow import NotReached
from artstore.ingester.services.intake import Stored
from artstore.ingester.services.placement import ElementReport, Placement

SMALL = b"x"
LARGE = bytes(SMALL_BYTES + 1)


@dataclass
class Directory:
    given_up: list[str] = field(default_factory=list)

    def reports(self) -> Sequence[ElementReport]:
        return [
            ElementReport(name, f"https://{name}", 1, StorageMode.EDIT, True, True, 1 << 40)
            for name in ("a", "b")
        ]

    def failed(self, element_id: str) -> None:
        self.given_up.append(element_id)

    def worked(self, element_id: str) -> None:
        pass


@dataclass
class ScriptedWriter:
    """Fails as `script` says, call by call; then stores."""

    script: list[Exception]
    calls: list[tuple[str, str]] = field(default_factory=list)
    """(element, file id)"""

    async def put(
        self, element: ElementReport, file_id: str, draft: FileDraft, content: bytes
    ) -> FileRecord:
        return self._answer(element, file_id, draft, len(content))

    async def put_flowing(
        self, element: ElementReport, file_id: str, draft: FileDraft, content: Flowing
    ) -> FileRecord:
        answer = self._answer(element, file_id, draft, 0)
        size = sum([len(chunk) async for chunk in content.chunks])
        return answer.model_copy(update={"size": size})

    def _answer(
        self, element: ElementReport, file_id: str, draft: FileDraft, size: int
    ) -> FileRecord:
        self.calls.append((element.element_id, file_id))
        if self.script:
            raise self.script.pop(0)
        return record_of(draft, file_id, "0" * 64, size)

    @property
    def elements(self) -> str:
        return "".join(element for element, _ in self.calls)


async def store(
    content: bytes, script: list[Exception], directory: Directory | None = None
) -> tuple[Stored | ArtStoreError, ScriptedWriter]:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    writer = ScriptedWriter(script)
    intake = await admitting_intake(Placement(directory or Directory()), writer)
    draft = FileDraft(original_filename="a", uploaded_by=UPLOADER, size=len(content))
    try:
        return await intake.store(draft, chunks()), writer
    except ArtStoreError as error:
        return error, writer


def not_reached(cause: Exception | None = None) -> NotReached:
    error = NotReached()
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("refusal", [NoRoom(), ModeForbids(), FileExists(), NotReached()])
async def test_a_small_file_that_is_surely_not_kept_goes_to_the_next(refusal: Exception) -> None:
    outcome, writer = await store(SMALL, [refusal])

    assert isinstance(outcome, Stored)
    assert (writer.elements, outcome.element_id) == ("ab", "b")
    assert writer.calls[0][1] != writer.calls[1][1], "an id must never be on two elements"


async def test_an_open_outcome_is_settled_with_the_same_id_on_the_same_element() -> None:
    outcome, writer = await store(SMALL, [Unavailable()])

    assert isinstance(outcome, Stored)
    assert writer.elements == "aa"
    assert writer.calls[0] == writer.calls[1]


@pytest.mark.parametrize("second", [Unavailable(), NotReached()])
async def test_an_outcome_that_stays_open_goes_to_nobody_else(second: Exception) -> None:
    directory = Directory()

    outcome, writer = await store(SMALL, [Unavailable(), second], directory)

    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after_s
    assert writer.elements == "aa"
    assert directory.given_up == ["a"]


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_what_the_sender_got_wrong_is_tried_once(content: bytes) -> None:
    outcome, writer = await store(content, [DigestMismatch()])

    assert isinstance(outcome, DigestMismatch)
    assert writer.elements == "a"


async def test_a_large_file_that_no_byte_was_taken_of_goes_to_the_next() -> None:
    outcome, writer = await store(LARGE, [not_reached(NoRoom())])

    assert isinstance(outcome, Stored)
    assert (writer.elements, outcome.record.size) == ("ab", len(LARGE))


@pytest.mark.parametrize("failure", [NoRoom(), ModeForbids(), Unavailable(), InternalError()])
async def test_a_large_file_that_flowed_goes_to_nobody_else(failure: ArtStoreError) -> None:
    outcome, writer = await store(LARGE, [failure])

    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after_s
    assert writer.elements == "a"


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ([NoRoom(), NoRoom()], NoRoom),
        ([NoRoom(), ModeForbids()], Unavailable),
        ([NotReached(), NoRoom()], Unavailable),
    ],
)
async def test_no_room_is_said_only_when_nobody_has_any(
    script: list[Exception], failure: type[Exception]
) -> None:
    assert type((await store(SMALL, list(script)))[0]) is failure
    wrapped = [error if isinstance(error, NotReached) else not_reached(error) for error in script]
    assert type((await store(LARGE, list(wrapped)))[0]) is failure


@pytest.mark.parametrize(
    ("refusal", "given_up"), [(NotReached(), ["a"]), (ModeForbids(), ["a"]), (NoRoom(), [])]
)
async def test_a_failed_element_is_passed_over_and_a_full_one_is_not(
    refusal: Exception, given_up: list[str]
) -> None:
    directory = Directory()
    await store(SMALL, [refusal], directory)
    assert directory.given_up == given_up

    directory = Directory()
    await store(LARGE, [not_reached(refusal)], directory)
    assert directory.given_up == given_up


@pytest.mark.parametrize(
    ("sizes", "declared", "small"),
    [
        ([], None, True),
        ([SMALL_BYTES], None, True),
        ([SMALL_BYTES, 1], None, False),
        ([1] * 10, 10, True),
        ([SMALL_BYTES], SMALL_BYTES, True),
        ([SMALL_BYTES + 1], SMALL_BYTES + 1, False),
    ],
)
async def test_only_small_content_is_held(
    sizes: list[int], declared: int | None, small: bool
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for size in sizes:
            yield b"x" * size

    content = await take(chunks(), declared)

    assert isinstance(content, Flowing) is not small
    if isinstance(content, Flowing):
        assert sum([len(chunk) async for chunk in content.chunks]) == sum(sizes)
    else:
        assert len(content) == sum(sizes)


async def test_what_arrived_as_a_whole_is_not_copied() -> None:
    content = b"small"

    assert await take(Arrived(content), None) is content
    assert [chunk async for chunk in Arrived(content)] == [content]
