"""Goal: memory does not grow with the file.

Method: a process of its own moves a file far larger than the bound, and then reports by how
much its peak has grown since before.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.client.fake_artstore import KEPT_BYTES_MAX, FakeArtStore

FILE_BYTES = 4 * KEPT_BYTES_MAX
GROWTH_BYTES_MAX = 48 << 20

PROGRAM = """
import asyncio, re, sys
from artstore.client import {client}

def peak_bytes():
    # Not ru_maxrss: a child inherits that of its parent.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

async def move(store):
    small = store.put(b"x", filename="x")  # what is loaded at the first use is loaded now
    await small if {is_async} else small
    before = peak_bytes()
    moving = {call}
    await moving if {is_async} else moving
    print(peak_bytes() - before)

store = {client}.from_home(sys.argv[1])
asyncio.run(move(store))
"""


@pytest.mark.parametrize("client", ["ArtStore", "AsyncArtStore"])
@pytest.mark.parametrize("direction", ["put", "put_stream", "get"])
def test_memory_stays_bounded(
    fake: FakeArtStore, home: Path, tmp_path: Path, client: str, direction: str
) -> None:
    calls = {
        "put": f"store.put({str(tmp_path / 'large')!r})",
        "put_stream": f"store.put(open({str(tmp_path / 'large')!r}, 'rb'))",
        "get": "store.get(sys.argv[2], sys.argv[3])",
    }
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", FILE_BYTES)
    file_id = fake.keep(bytes(FILE_BYTES)) if direction == "get" else "-"
    program = PROGRAM.format(client=client, is_async="Async" in client, call=calls[direction])

    ran = subprocess.run(
        [sys.executable, "-c", program, home, file_id, tmp_path / "copy"],
        capture_output=True,
        check=True,
    )

    assert int(ran.stdout) < GROWTH_BYTES_MAX
    if direction == "get":
        assert (tmp_path / "copy").stat().st_size == FILE_BYTES
