"""A file that another element has too is handed out while the first cannot."""

import asyncio
import json
from uuid import UUID

import pytest
from sqlalchemy import delete, insert
from tests.integration.query.conftest import World
from tests.support.fake_shelf import Fault
from tests.support.processes import Limit, eventually

from artstore.core.catalogue import copies
from artstore.core.model.file import FileRecord

CONTENT = b"kept twice"


def store_twice(world: World, state: str = "present") -> FileRecord:
    record = world.store(CONTENT)
    world.other.files[record.file_id] = (record, CONTENT)
    rows = [
        {
            "file_id": UUID(record.file_id),
            "element_id": shelf.element_id,
            "revision": 1,
            "state": "present" if shelf is world.shelf else state,
            "generation": 0,
        }
        for shelf in (world.shelf, world.other)
    ]
    with world.engine.begin() as connection:
        connection.execute(delete(copies))
        connection.execute(insert(copies), rows)
    return record


def path_of(record: FileRecord) -> str:
    return f"/api/v1/files/{record.file_id}/content"


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.LOST, Fault.DAMAGED])
async def test_the_other_serves(world: World, fault: Fault) -> None:
    record = store_twice(world)
    world.shelf.fault = fault
    for _ in range(2):
        status, body, _ = await world.get(path_of(record))
        assert (status, body) == (200, CONTENT)
    part = await world.get(path_of(record), {"Range": "bytes=1-3"})
    assert (part[0], part[1]) == (206, CONTENT[1:4])


async def first_is_asked(world: World, record: FileRecord) -> None:
    """What it failed with in another test is over."""
    limit = Limit("the first being asked again", 20)
    while not world.shelf.requests["content"]:
        assert (await world.get(path_of(record)))[1] == CONTENT
        limit.check()
        await asyncio.sleep(0.1)
    world.shelf.requests.clear()
    world.other.requests.clear()


def parts_told(world: World, record: FileRecord) -> list[str]:
    """Who handed out parts of the file, as reported."""
    events = [report["event"] for report in world.issuer.reports]
    return [
        event["element_id"]
        for event in events
        if event.get("file_id") == record.file_id and "first_byte" in event["details"]
    ]


@pytest.mark.parametrize("fault", [Fault.OTHER_BYTES, Fault.BROKEN, Fault.IGNORE_RANGE])
async def test_the_other_serves_while_the_first_answers_nonsense(
    world: World, fault: Fault
) -> None:
    record = store_twice(world)
    await first_is_asked(world, record)
    world.shelf.fault = fault
    part = await world.get(path_of(record), {"Range": "bytes=1-3"})
    assert (part[0], part[1]) == (206, CONTENT[1:4])
    assert world.shelf.requests["content"] == 1
    # What is written down names the one that handed it out.
    await eventually(lambda: bool(parts_told(world, record)))
    assert parts_told(world, record) == [world.other.element_id]


async def test_the_first_serves_while_it_can_and_again_after_it_was_away(world: World) -> None:
    record = store_twice(world)
    await first_is_asked(world, record)
    assert (await world.get(path_of(record)))[1] == CONTENT
    assert world.other.requests["content"] == 0


async def test_a_first_that_is_away_is_not_waited_for_each_time(world: World) -> None:
    record = store_twice(world)
    world.shelf.fault = Fault.DOWN
    for _ in range(5):
        assert (await world.get(path_of(record)))[0] == 200
    assert world.shelf.requests["content"] <= 1


@pytest.mark.parametrize(
    ("fault", "code"), [(Fault.DOWN, "unavailable"), (Fault.DAMAGED, "file_damaged")]
)
async def test_nobody_has_it_whole(world: World, fault: Fault, code: str) -> None:
    record = store_twice(world)
    world.shelf.fault = world.other.fault = fault
    status, body, _ = await world.get(path_of(record))
    assert status >= 500
    assert code in body.decode()


@pytest.mark.parametrize("state", ["damaged", "missing", "deleted"])
async def test_a_copy_that_is_no_good_is_not_asked(world: World, state: str) -> None:
    record = store_twice(world, state)
    world.shelf.fault = Fault.DAMAGED
    assert (await world.get(path_of(record)))[0] == 500
    assert world.other.requests["content"] == 0


async def test_where_a_file_lies(world: World) -> None:
    record = store_twice(world, "damaged")
    status, body, _ = await world.get(f"/api/v1/files/{record.file_id}/copies")
    assert status == 200
    assert json.loads(body)["items"] == [
        {"element_id": "edit-1", "revision": 1, "state": "present"},
        {"element_id": "edit-2", "revision": 1, "state": "damaged"},
    ]
    single = world.store(b"once")
    _, body, _ = await world.get(f"/api/v1/files/{single.file_id}/copies")
    assert [each["element_id"] for each in json.loads(body)["items"]] == ["edit-1"]
    unknown = await world.get(f"/api/v1/files/{world.new_id()}/copies")
    assert (unknown[0], json.loads(unknown[1])["code"]) == (404, "unknown_file")
    assert (await world.get("/api/v1/files/x/copies"))[0] == 422
