"""The feed over raw segments and history, and what it refuses."""

import gzip

import orjson
import pytest
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import Element, Ids, Oracle, check_element

from artstore.core.errors import PositionGone
from artstore.core.model.event import Change
from artstore.storage.engine.feed import FeedPage
from artstore.storage.engine.history import HistoryReader
from artstore.storage.engine.segments import HistorySegment


def fill(element: Element, ids: Ids, groups: int) -> None:
    for _ in range(groups):
        element.put((ids.new(), b"z" * 3000, "a.bin"), (ids.new(), b"z" * 100, "b.bin"))


def read_all(element: Element, limit: int, after: int = 0) -> list[bytes]:
    lines: list[bytes] = []
    while (page := element.engine.feed.changes(after, limit)).lines:
        assert page.position > after
        lines += page.lines
        after = page.position
    return lines


def test_every_page_size_tells_the_same(element: Element, ids: Ids) -> None:
    fill(element, ids, 16)
    element.engine.checkpoint()
    fill(element, ids, 8)
    whole = read_all(element, 1000)

    assert len(whole) == 48
    assert len(element.engine._foundation.segments.snapshot()) >= 3
    for limit in (1, 2, 3, 7, 48):
        assert read_all(element, limit) == whole
    for after in range(element.engine.head):
        expected = [line for line in whole if orjson.loads(line)["seq"] > after]
        assert element.engine.feed.changes(after, 1000).lines == expected


def test_lines_are_changes(element: Element, ids: Ids) -> None:
    file_id = ids.new()
    element.put((file_id, b"x", "Отчёт.txt"))
    element.change(file_id, tags=("a",))
    element.delete(file_id)
    changes = [Change.model_validate_json(line) for line in read_all(element, 10)]

    assert [change.type for change in changes] == ["created", "updated", "deleted"]
    assert [change.record.revision for change in changes] == [1, 2, 3]
    assert changes[2].record == element.engine.reading.record(file_id)
    assert changes[0].at == element.clock.now()


def test_history_is_plain_gzip_without_contents(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    fill(element, ids, 16)
    element.engine.checkpoint()
    history = [
        s for s in element.engine._foundation.segments.snapshot() if isinstance(s, HistorySegment)
    ]
    packed = bytes(fs._file(fs.open(history[0].path)).current)
    lines = gzip.decompress(packed).splitlines(keepends=True)

    assert lines == read_all(element, 1000)[: len(lines)]
    assert b"zzzz" not in gzip.decompress(packed)


def test_history_is_read_from_the_middle(
    element: Element, ids: Ids, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artstore.storage.engine.history.MEMBER_BYTES", 2000)
    fill(element, ids, 16)
    element.engine.checkpoint()
    segment = element.engine._foundation.segments.snapshot()[0]
    assert isinstance(segment, HistorySegment)
    reader = HistoryReader(fs)
    whole = list(reader.lines_after(segment, 0))
    remembered = reader._members[segment.path]

    assert len(remembered) > 3
    for after in range(segment.last + 1):
        expected = [line for line in whole if orjson.loads(line)["seq"] > after]
        assert list(reader.lines_after(segment, after)) == expected


@pytest.mark.parametrize("after", [1_000, 10**18])
def test_a_position_ahead_of_the_head_is_gone(element: Element, ids: Ids, after: int) -> None:
    fill(element, ids, 1)
    with pytest.raises(PositionGone):
        element.engine.feed.changes(after, 10)


def test_a_position_before_lost_history_is_gone(
    element: Element, ids: Ids, fs: SimulatedFs
) -> None:
    fill(element, ids, 16)
    element.engine.checkpoint()
    fill(element, ids, 16)
    element.engine.checkpoint()
    element.engine.close()
    history = [
        s for s in element.engine._foundation.segments.snapshot() if isinstance(s, HistorySegment)
    ]
    fs.unlink(history[0].path)

    again = Element(fs, element.oracle, element.clock)
    assert again.engine.info().oldest_seq == history[0].last
    with pytest.raises(PositionGone):
        again.engine.feed.changes(0, 10)
    assert again.engine.feed.changes(history[0].last, 10).lines
    assert set(again.engine.reading.files(None, 1000)) == {
        s[0] for s in again.oracle.settled.values() if s
    }


def test_an_empty_feed(element: Element) -> None:
    assert element.engine.feed.changes(0, 10) == FeedPage([], 0)
    check_element(element.engine, Oracle())


def test_a_page_is_bounded_in_bytes(
    element: Element, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(element, ids, 6)
    monkeypatch.setattr("artstore.storage.engine.feed.PAGE_BYTES_MAX", 1500)
    assert 1 < len(element.engine.feed.changes(0, 1000).lines) < 4
    assert len(read_all(element, 1000)) == 12
