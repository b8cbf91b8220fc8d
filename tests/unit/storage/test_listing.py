"""Listings are in the order of ids, page by page, in constant memory."""

import orjson
import pytest
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import Element, Ids

from artstore.core.model.ids import FileId


def list_all(element: Element, limit: int) -> list[FileId]:
    found: list[FileId] = []
    after: FileId | None = None
    while lines := element.engine.reading.files(after, limit):
        assert len(lines) <= limit
        found += [orjson.loads(line)["file_id"] for line in lines]
        after = found[-1]
    return found


@pytest.fixture
def many(element: Element, ids: Ids) -> list[FileId]:
    made: list[FileId] = []
    for hours in (0, 1, 30, 24 * 40, 24 * 400):
        element.clock.advance(hours=hours)
        files = [(ids.new(), b"x", "a.txt") for _ in range(7)]
        element.put(*files)
        made += [file_id for file_id, _, _ in files]
    return made


@pytest.mark.parametrize("window", [2, 3, 50_000])
@pytest.mark.parametrize("limit", [1, 4, 35, 1000])
def test_pages_add_up(
    element: Element, many: list[FileId], limit: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artstore.storage.engine.backends.local.WINDOW_FILES", window)
    assert list_all(element, limit) == many


def test_a_file_that_came_meanwhile_is_listed_when_its_turn_comes(
    element: Element, many: list[FileId], ids: Ids
) -> None:
    first = element.engine.reading.files(None, 5)
    late = ids.new()
    element.put((late, b"x", "a.txt"))
    rest = element.engine.reading.files(orjson.loads(first[-1])["file_id"], 1000)
    assert [orjson.loads(line)["file_id"] for line in first + rest] == [*many, late]


def test_tombstones_are_listed(element: Element, many: list[FileId]) -> None:
    element.delete(many[3])
    assert orjson.loads(element.engine.reading.files(many[2], 1)[0])["deleted"]["by"] == "clerk"


def test_a_damaged_record_is_left_out_and_others_are_not(
    element: Element, many: list[FileId], fs: SimulatedFs
) -> None:
    path = element.engine._foundation.layout.attr(many[3])
    fs._file(fs.open(path)).current[20] ^= 1
    assert list_all(element, 1000) == [*many[:3], *many[4:]]


def test_strange_names_in_the_data_directory_are_passed_over(
    element: Element, many: list[FileId], fs: SimulatedFs
) -> None:
    hour = element.engine._foundation.layout.directory(many[0])
    for name in ("x.attr.json", "notes.txt", f"{many[0]}.attr.json.old"):
        fs.create(f"{hour}/{name}")
    fs.make_directory(f"{element.engine._foundation.layout.data}/lost+found")
    assert list_all(element, 1000) == many
