"""What an element says of the files it was to take over, whatever it says."""

from collections.abc import AsyncGenerator
from uuid import UUID

from artstore.admin.repository.holders import Made
from artstore.admin.services.copies.keeping import outcome_of
from artstore.admin.services.elements_control import CopyLine
from artstore.core.errors import Unavailable
from artstore.core.model.ids import FileId

ONE, TWO, FOREIGN = (FileId(f"018f0000-0000-7000-8000-00000000000{n}") for n in range(3))
TARGET = "edit-2"
DONE = Made(UUID(ONE), TARGET, 1)


async def said(*lines: CopyLine, breaks: bool = False) -> AsyncGenerator[CopyLine, None]:
    for line in lines:
        yield line
    if breaks:
        raise Unavailable


def done(file_id: str, revision: int | None = 1) -> CopyLine:
    return CopyLine(file_id=FileId(file_id), status=201, revision=revision)


async def test_each_file_is_made_or_has_a_reason() -> None:
    refused = CopyLine(file_id=TWO, status=507, code="no_space", detail="full")
    outcome = await outcome_of(said(done(ONE), refused), [ONE, TWO], TARGET)
    assert outcome == ([DONE], {UUID(TWO): "edit-2: no_space: full"})


async def test_a_file_is_made_once_and_others_do_not_count() -> None:
    lines = said(done(ONE), done(ONE), done(FOREIGN), done("no id"))
    outcome = await outcome_of(lines, [ONE, TWO], TARGET)
    assert outcome == ([DONE], {UUID(TWO): "the element broke off"})


async def test_what_was_made_before_a_break_counts() -> None:
    outcome = await outcome_of(said(done(ONE), breaks=True), [ONE, TWO], TARGET)
    assert outcome == ([DONE], {UUID(TWO): "edit-2: unavailable"})


async def test_done_without_a_revision_is_not_done() -> None:
    made, waiting = await outcome_of(said(done(ONE, None)), [ONE], TARGET)
    assert (made, list(waiting)) == ([], [UUID(ONE)])
