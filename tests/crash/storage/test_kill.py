"""Goal: kill -9 of a real element under load loses nothing that was acknowledged.

Method: many uploads of all sizes at once, a kill at some moment, a start, and every
acknowledged file is read again. Several rounds on the same directory.
"""

import asyncio
from pathlib import Path

import aiohttp
import orjson
import pytest
from tests.support.storage_process import StorageProcess, Uploader, session, storage_process

SIZES = [0, 100, 4096, 4096, 60_000, 70_000, 700_000, 3_000_000]


async def load_and_kill(element: StorageProcess, after_files: int) -> dict[str, str]:
    async with session() as opened:
        uploaders = [Uploader(opened, element) for _ in SIZES]
        running = [
            asyncio.create_task(uploader.run(size))
            for uploader, size in zip(uploaders, SIZES, strict=True)
        ]
        while sum(len(uploader.acknowledged) for uploader in uploaders) < after_files:
            await asyncio.sleep(0.005)
        element.kill()
        await asyncio.gather(*running)
    return {id_: sha for uploader in uploaders for id_, sha in uploader.acknowledged.items()}


async def check(element: StorageProcess, acknowledged: dict[str, str]) -> None:
    async with session() as opened:
        await Uploader(opened, element, acknowledged).check()
        listed = await lines(opened, element, "/files?limit=10000")
        assert set(acknowledged) <= {record["file_id"] for record in listed}
        changes = await lines(opened, element, "/changes?limit=10000")
        assert {change["record"]["file_id"] for change in changes} == {
            record["file_id"] for record in listed
        }


async def lines(
    opened: aiohttp.ClientSession, element: StorageProcess, path: str
) -> list[dict[str, str]]:
    async with opened.get(element.url(path)) as answer:
        return [orjson.loads(line) for line in (await answer.read()).splitlines()]


@pytest.mark.parametrize("interval_s", [0.25, 60], ids=["many checkpoints", "no checkpoint"])
async def test_nothing_acknowledged_is_lost(tmp_path: Path, interval_s: float) -> None:
    acknowledged: dict[str, str] = {}
    root = tmp_path / "element"
    settings = {"CHECKPOINT_INTERVAL_S": interval_s, "LOG_LEVEL": "warning"}
    for after_files in (40, 150, 300):
        with storage_process(root, **settings) as element:
            await check(element, acknowledged)
            acknowledged |= await load_and_kill(element, after_files)
    with storage_process(root, **settings) as element:
        await check(element, acknowledged)
    assert list((root / "tmp").iterdir()) == []
