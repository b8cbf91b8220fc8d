"""How streams are gathered into blocks: large ones of a few senders, small ones of many."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from artstore.storage.services.frame import in_blocks
from artstore.storage.services.threads import (
    BLOCK_BYTES_MAX,
    BLOCK_BYTES_MIN,
    GATHERED_BYTES_MAX,
    Threads,
)

CHUNK = bytes(16 << 10)


@pytest.mark.parametrize(
    ("streams", "block_bytes"),
    [
        (1, BLOCK_BYTES_MAX),
        (8, BLOCK_BYTES_MAX),
        (64, GATHERED_BYTES_MAX // 64),
        (200, BLOCK_BYTES_MIN),
    ],
)
async def test_together_they_gather_no_more_than_a_few(streams: int, block_bytes: int) -> None:
    threads = Threads(2, "test")
    everybody = asyncio.Barrier(streams)
    written: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        await everybody.wait()
        for _ in range(128):
            yield CHUNK

    try:
        await asyncio.gather(
            *(
                threads.write_blocks(
                    lambda block: written.append(len(block)),
                    in_blocks(chunks(), threads.block_bytes),
                )
                for _ in range(streams)
            )
        )
    finally:
        threads.close()

    assert sum(written) == streams * 128 * len(CHUNK)
    assert written[0] == block_bytes
    assert threads.block_bytes() == BLOCK_BYTES_MAX
