"""A real volume fills up: the element says so step by step, refuses cleanly, and reads on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.storage_process import StorageProcess, Uploader, session, storage_process

MIB = 1 << 20
VOLUME_MIB = 160
RESERVED_MIB = 64


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a volume")
    image, mounted = tmp_path / "image", tmp_path / "volume"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(VOLUME_MIB * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, mounted], check=False).returncode:
        pytest.skip("this machine mounts no loop devices")
    yield mounted
    subprocess.run(["umount", mounted], check=True)


async def told(http: aiohttp.ClientSession, element: StorageProcess) -> tuple[str, str, str]:
    """State by `/info`, by the health check, and by the metrics."""
    async with http.get(element.url("/info")) as answer:
        info: dict[str, Any] = await answer.json()
    root = f"http://127.0.0.1:{element.port}"
    async with http.get(f"{root}/health/ready") as answer:
        assert answer.status == 200, "a full element is ready: it reads"
        ready: dict[str, Any] = await answer.json()
    async with http.get(f"{root}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = "artstore_element_capacity_state"
    (state,) = [
        line.split('"')[1] for line in lines if line.startswith(name) and line.endswith(" 1.0")
    ]
    free = next(line for line in lines if 'element_capacity_bytes{state="free"}' in line)
    assert float(free.split()[1]) > 0
    return info["capacity"]["state"], ready["checks"]["capacity"], state


async def test_a_volume_fills_up(volume: Path) -> None:
    settings = {
        "RESERVED_BYTES": RESERVED_MIB * MIB,
        "SEGMENT_BYTES": 8 * MIB,
        "CAPACITY_WARNING": 50 * MIB,
        "CAPACITY_CRITICAL": 30 * MIB,
    }
    with storage_process(volume / "element", **settings) as element:
        async with session() as http:
            uploader = Uploader(http, element)
            states: list[str] = []
            status = 201
            while status == 201:
                found = await told(http, element)
                if len(set(found)) > 1:  # it measured between two of the questions
                    found = await told(http, element)
                assert len(set(found)) == 1, "they say the same"
                states += [] if states[-1:] == [found[0]] else [found[0]]
                assert len(uploader.acknowledged) < VOLUME_MIB
                status = await uploader.put(os.urandom(4 * MIB))
            assert status == 507
            while (await uploader.put(os.urandom(60_000))) == 201:
                assert len(uploader.acknowledged) < 2000
            # It measures twice a second: a quick disk may pass a state unseen.
            order = ["ok", "warning", "critical", "full"]
            assert states[0] == "ok"
            assert states == sorted(states, key=order.index)
            assert (await told(http, element))[0] in ("critical", "full")
            await uploader.check()
            (some_id, *_) = uploader.acknowledged
            reason = {"by": "clerk", "reason": "room"}
            async with http.delete(element.url(f"/files/{some_id}"), json=reason) as answer:
                assert answer.status == 200, "deleting needs no room"
