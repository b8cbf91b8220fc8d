"""Uploads that arrive together share requests to the element; nobody notices."""

import asyncio
import hashlib
import os

import pytest
from tests.integration.ingester.conftest import World
from tests.support.fake_element import FakeElement, Fault

from artstore.core.errors import ModeForbids, NoRoom

COUNT = 60


async def upload_together(world: World) -> dict[str, str]:
    """The correlation id of each upload, by file id; all were stored as they were sent."""
    contents = [os.urandom(100 + number) for number in range(COUNT)]
    answers = await asyncio.gather(
        *(world.post({"filename": "a.txt"}, content) for content in contents)
    )
    assert [status for status, _, _ in answers] == [201] * COUNT
    for content, (_, body, _) in zip(contents, answers, strict=True):
        assert (body["size"], body["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        holders = [e for e in world.elements if body["file_id"] in e.arrived]
        assert [e.arrived[body["file_id"]].content for e in holders] == [content]
    return {body["file_id"]: response.headers["X-Correlation-Id"] for _, body, response in answers}


def requests(element: FakeElement) -> int:
    return element.requests["put"] + element.requests["batch"]


async def test_many_uploads_take_few_requests(world: World) -> None:
    world.edit.batched.clear()
    traces = await upload_together(world)

    assert world.edit.requests["batch"] >= 1
    assert requests(world.edit) < COUNT / 2
    assert len(world.edit.arrived) == COUNT
    assert world.edit.batched.items() <= traces.items(), "each file has the trace of its upload"


@pytest.mark.parametrize("failure", [ModeForbids("closed"), NoRoom("full")])
async def test_a_refused_batch_goes_to_another_element(world: World, failure: Exception) -> None:
    world.edit.failure = failure
    world.edit.faults = [Fault.REFUSE] * 200
    await upload_together(world)

    assert len(world.spare.arrived) == COUNT
    assert world.spare.requests["batch"] >= 1


async def test_files_that_find_no_room_go_elsewhere_alone(world: World) -> None:
    world.edit.failure = NoRoom("full")
    world.edit.faults = [Fault.REFUSE_LATE] * 2
    await upload_together(world)

    assert world.spare.arrived
    assert len(world.edit.arrived) + len(world.spare.arrived) == COUNT


async def test_a_batch_whose_answer_is_lost_is_stored_once(world: World) -> None:
    world.edit.faults = [Fault.CUT_AFTER_STORING]
    await upload_together(world)

    assert not world.edit.faults, "it happened"
    assert len(world.edit.arrived) == COUNT
    assert not world.spare.arrived
