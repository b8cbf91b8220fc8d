"""Elements fail in every way there is: the file is stored once, or the sender is told to retry."""

import asyncio
import time

import aiohttp
import pytest
from tests.integration.ingester.conftest import World
from tests.support.fake_element import Fault
from tests.support.processes import eventually

from artstore.core.errors import ModeForbids, NoRoom, Unavailable

LARGE = bytes(300_000)


@pytest.mark.parametrize("failure", [NoRoom("full"), ModeForbids("read-only")])
@pytest.mark.parametrize("content", [b"x", LARGE])
async def test_a_refusal_sends_the_file_to_the_next(
    world: World, content: bytes, failure: Exception
) -> None:
    world.edit.faults, world.edit.failure = [Fault.REFUSE], failure

    status, _, _ = await world.post({"filename": "a"}, content)

    assert status == 201
    assert not world.edit.arrived
    assert [arrived.content for arrived in world.spare.arrived.values()] == [content]


async def test_an_element_that_hangs_before_a_large_body_is_passed_over(world: World) -> None:
    world.edit.faults = [Fault.HANG]

    status, _, _ = await world.post({"filename": "a"}, LARGE)

    assert status == 201
    assert len(world.spare.arrived) == 1


async def test_a_small_file_survives_a_cut_connection_and_is_stored_once(world: World) -> None:
    world.edit.faults = [Fault.CUT_AFTER_STORING]

    status, body, _ = await world.post({"filename": "a"}, b"x")

    assert status == 201
    assert list(world.edit.arrived) == [body["file_id"]]
    assert not world.spare.requests["put"]


async def test_an_open_outcome_is_never_given_to_another_element(world: World) -> None:
    world.edit.faults = [Fault.CUT_AFTER_STORING] * 2

    status, body, response = await world.post({"filename": "a"}, b"x")

    assert (status, body["code"]) == (503, "unavailable")
    assert "Retry-After" in response.headers
    assert not world.spare.requests["put"]


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.REFUSE_LATE, Fault.CUT_AFTER_STORING])
async def test_a_failure_in_the_middle_of_a_large_file_asks_for_it_again(
    world: World, fault: Fault
) -> None:
    world.edit.faults, world.edit.failure = [fault], Unavailable("the volume failed")

    status, body, response = await world.post({"filename": "a"}, LARGE)

    assert (status, body["code"]) == (503, "unavailable")
    assert "Retry-After" in response.headers
    assert not world.spare.requests["put"]
    assert body["detail"].count("volume") == 0


async def test_an_element_that_hangs_in_a_small_file_is_given_up(world: World) -> None:
    world.edit.faults = [Fault.HANG, Fault.HANG]

    status, body, _ = await world.post({"filename": "a"}, b"x")

    assert (status, body["code"]) == (503, "unavailable")


async def test_without_a_writable_element_the_sender_is_told_to_wait(world: World) -> None:
    world.edit.writable = world.spare.writable = False
    await world.settled()

    status, body, response = await world.post({"filename": "a"}, b"x")

    assert (status, body["code"]) == (503, "unavailable")
    assert response.headers["Retry-After"] == "2"


async def test_uploads_go_on_while_the_admin_module_is_away(world: World) -> None:
    world.issuer.away = True
    await world.settled()

    status, _, _ = await world.post({"filename": "a"}, b"x")

    assert status == 201


async def test_an_element_that_fails_with_every_file_is_tried_less_and_less(world: World) -> None:
    """It answers questions all the time, and is well by what it says."""
    world.edit.faults, world.edit.failure = [Fault.REFUSE] * 1000, ModeForbids("it says so")
    files = 0

    async with asyncio.timeout(60):
        began_s = time.monotonic()
        while world.edit.requests["put"] < 6:
            status, _, _ = await world.post({"filename": "a"}, b"x")
            assert status == 201
            files += 1

    assert len(world.spare.arrived) == files
    # It is looked at every 0.05 s, and rests for so long first.
    assert time.monotonic() - began_s >= 0.05 * (1 + 2 + 4 + 8 + 16)


CHECKS = ("signing_keys", "storage_elements", "admission_rules", "receipt_key")


async def test_ready_when_keys_and_an_element_are_known(world: World) -> None:
    async with world.session.get(
        f"{world.ingester.url}/health/ready", server_hostname="ingester.artstore.internal"
    ) as response:
        assert await response.json() == {
            "status": "ready",
            "checks": dict.fromkeys(CHECKS, "ok"),
        }
    for element in world.elements:
        element.writable = False
    await world.settled()
    async with world.session.get(
        f"{world.ingester.url}/health/ready", server_hostname="ingester.artstore.internal"
    ) as response:
        assert response.status == 503
        assert (await response.json(content_type=None))["checks"] == {
            **dict.fromkeys(CHECKS, "ok"),
            "storage_elements": "unavailable",
        }


async def test_a_gigabyte_leaves_no_trace_in_memory(world: World) -> None:
    """Back-pressure and streaming: whatever the size, the process stays as it is."""
    world.edit.keep_content = False
    await world.post({"filename": "warm"}, LARGE)
    before = world.ingester.rss_bytes
    peak = before

    async def chunks() -> object:
        nonlocal peak
        block = bytes(1 << 20)
        for number in range(1024):
            if number % 32 == 0:
                peak = max(peak, world.ingester.rss_bytes)
            yield block

    status, body, _ = await world.post(
        {"filename": "a"}, aiohttp.AsyncIterablePayload(chunks()), {"Content-Length": str(1 << 30)}
    )

    assert (status, body["size"]) == (201, 1 << 30)
    assert peak - before < 64 << 20
    await eventually(lambda: len(world.edit.arrived) >= 1)
