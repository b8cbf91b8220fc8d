"""The scrub of a real element: ordered over HTTP, on a real disk, over a kill -9."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from tests.support.places import in_place
from tests.support.storage_process import (
    StorageProcess,
    Uploader,
    new_id,
    session,
    storage_process,
)

RATE = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "element"


@pytest.fixture
def element(root: Path) -> Iterator[StorageProcess]:
    with storage_process(root) as process:
        yield process


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


async def call(
    http: aiohttp.ClientSession, element: StorageProcess, method: str, path: str, **fields: Any
) -> tuple[int, Any]:
    async with http.request(method, element.url(path), **fields) as answer:
        return answer.status, orjson.loads(await answer.read())


async def whole_pass(http: aiohttp.ClientSession, element: StorageProcess) -> dict[str, Any]:
    order = {"action": "start", "rate_bytes_per_s": RATE}
    status, _ = await call(http, element, "POST", "/scrub", json=order)
    assert status == 200
    return await ended(http, element)


async def ended(http: aiohttp.ClientSession, element: StorageProcess) -> dict[str, Any]:
    while True:
        _, status = await call(http, element, "GET", "/scrub")
        if status["state"] == "idle":
            assert status["trouble"] is None
            return dict(status)
        await asyncio.sleep(0.05)


async def findings(http: aiohttp.ClientSession, element: StorageProcess) -> list[dict[str, Any]]:
    async with http.get(element.url("/changes?limit=10000")) as answer:
        lines = [orjson.loads(line) for line in (await answer.read()).splitlines()]
    return [line["detail"] for line in lines if line["type"] == "finding"]


async def filled(http: aiohttp.ClientSession, element: StorageProcess, count: int) -> Uploader:
    uploader = Uploader(http, element)
    for number in range(count):
        assert await uploader.put(os.urandom(1000 + number)) == 201
    assert await uploader.put(os.urandom(300_000)) == 201
    return uploader


def content_path(root: Path, file_id: str) -> Path:
    folder = in_place(root / "data", file_id).parent
    (path,) = (path for path in folder.glob(f"{file_id}*") if path.suffix != ".json")
    return path


async def test_damage_is_found_told_and_refused(
    http: aiohttp.ClientSession, element: StorageProcess, root: Path
) -> None:
    uploader = await filled(http, element, 20)
    assert (await whole_pass(http, element))["checked_files"] == 21
    small, large = list(uploader.acknowledged)[3], list(uploader.acknowledged)[-1]
    for file_id in (small, large):
        path = content_path(root, file_id)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        os.sync()

    status = await whole_pass(http, element)
    assert (status["findings"], status["open_findings"]) == (2, 2)
    assert [(one["finding"], one["file_id"]) for one in await findings(http, element)] == [
        ("damaged", small),
        ("damaged", large),
    ]
    for file_id in (small, large):
        code, problem = await call(http, element, "GET", f"/files/{file_id}/content")
        assert (code, problem["code"]) == (500, "file_damaged")
        assert len(list((root / "quarantine" / file_id).iterdir())) == 1
    await check_shown(http, element)
    for file_id in (small, large):
        del uploader.acknowledged[file_id]
    await uploader.check()


async def check_shown(http: aiohttp.ClientSession, element: StorageProcess) -> None:
    _, info = await call(http, element, "GET", "/info")
    assert info["scrub"]["open_findings"] == 2
    async with http.get(f"http://127.0.0.1:{element.port}/health/ready") as answer:
        assert (answer.status, (await answer.json())["checks"]["scrub"]) == (200, "2 open findings")
    async with http.get(f"http://127.0.0.1:{element.port}/metrics") as answer:
        metrics = await answer.text()
    assert 'artstore_scrub_open_findings{kind="damaged"} 2.0' in metrics
    assert 'artstore_scrub_findings_total{kind="damaged"} 2.0' in metrics


async def test_a_pass_survives_a_kill(http: aiohttp.ClientSession, root: Path) -> None:
    with storage_process(root, SCRUB_RATE_BYTES_PER_S=1 << 16) as element:
        uploader = await filled(http, element, 30)
        await call(http, element, "POST", "/scrub", json={"action": "start"})
        _, before = await call(http, element, "GET", "/scrub")
        assert before["state"] == "running"
        element.kill()
    with storage_process(root, SCRUB_RATE_BYTES_PER_S=RATE) as element:
        after = await ended(http, element)
        assert after["started_at"] == before["started_at"]
        assert after["checked_files"] == 31
        assert after["last_completed_at"] is not None
        assert await findings(http, element) == []
        uploader.element = element
        await uploader.check()
    with storage_process(root) as element:
        _, again = await call(http, element, "GET", "/scrub")
        assert again["last_completed_at"] == after["last_completed_at"]


async def test_it_starts_by_itself(http: aiohttp.ClientSession, root: Path) -> None:
    with storage_process(root, SCRUB_INTERVAL_S=0.1, SCRUB_RATE_BYTES_PER_S=RATE) as element:
        await Uploader(http, element).put(b"x")
        while True:
            _, status = await call(http, element, "GET", "/scrub")
            if status["last_completed_at"] and status["checked_files"]:
                break
            await asyncio.sleep(0.05)


async def test_pause_and_resume(http: aiohttp.ClientSession, element: StorageProcess) -> None:
    uploader = await filled(http, element, 10)
    order = {"action": "start", "rate_bytes_per_s": 1 << 16}
    await call(http, element, "POST", "/scrub", json=order)
    _, status = await call(http, element, "POST", "/scrub", json={"action": "pause"})
    assert status["state"] == "paused"
    assert await uploader.put(b"while it pauses", new_id()) == 201
    order = {"action": "resume", "rate_bytes_per_s": RATE}
    await call(http, element, "POST", "/scrub", json=order)
    assert (await ended(http, element))["checked_files"] >= 11


async def test_malformed_orders(http: aiohttp.ClientSession, element: StorageProcess) -> None:
    for order in ({}, {"action": "stop"}, {"action": "start", "rate_bytes_per_s": 1}):
        status, problem = await call(http, element, "POST", "/scrub", json=order)
        assert (status, problem["code"]) == (422, "invalid_request")


async def test_nothing_is_found_beside_uploads(
    http: aiohttp.ClientSession, element: StorageProcess
) -> None:
    uploaders = [Uploader(http, element) for _ in range(4)]
    running = [
        asyncio.create_task(uploader.run(size))
        for uploader, size in zip(uploaders, (10, 5000, 70_000, 500_000), strict=True)
    ]
    for _ in range(4):
        assert (await whole_pass(http, element))["findings"] == 0
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert await findings(http, element) == []
