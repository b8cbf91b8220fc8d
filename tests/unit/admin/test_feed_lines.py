"""Batches are bounded, in order, and lose nothing that came before a failure."""

from collections.abc import AsyncIterator

import pytest

from artstore.admin.services.catalogue import feed_lines
from artstore.admin.services.catalogue.element_client import BrokenAnswer
from artstore.admin.services.catalogue.feed_lines import batches, parse_record, read_ahead
from artstore.core.errors import Unavailable


async def lines(number: int, failure: Exception | None = None) -> AsyncIterator[bytes]:
    for each in range(number):
        yield str(each).encode()
    if failure is not None:
        raise failure


async def test_batches_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_lines, "BATCH_LINES_MAX", 4)
    sizes = [len(batch) async for batch in batches(lines(10), int)]
    assert sizes == [4, 4, 2]


async def test_batches_are_bounded_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_lines, "BATCH_BYTES_MAX", 3)
    assert [batch async for batch in batches(lines(5), int)] == [[0, 1, 2], [3, 4]]


async def test_what_came_before_a_failure_comes_first() -> None:
    arriving = batches(lines(3, Unavailable()), int)
    assert await anext(arriving) == [0, 1, 2]
    with pytest.raises(Unavailable):
        await anext(arriving)


async def test_reading_ahead_changes_nothing() -> None:
    arriving = read_ahead(lines(2, Unavailable()))
    assert [await anext(arriving), await anext(arriving)] == [b"0", b"1"]
    with pytest.raises(Unavailable):
        await anext(arriving)
    assert [line async for line in read_ahead(lines(0))] == []
    assert [line async for line in read_ahead(lines(2))] == [b"0", b"1"]


@pytest.mark.parametrize("line", [b"", b"{", b"null", b'{"seq": 1}'])
def test_a_line_that_is_no_record_is_a_broken_answer(line: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        parse_record(line)
