"""The crossing between the event loop and blocking file work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

GATHERED_BYTES_MAX: Final = 8 << 20
"""Of all streams together."""
BLOCK_BYTES_MAX: Final = 1 << 20
BLOCK_BYTES_MIN: Final = 64 << 10
"""About what a connection hands over at once."""


class Threads:
    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._streams = 0
        """That are being written."""

    def block_bytes(self) -> int:
        """How much of one stream is gathered for one write. A large block is one way to a thread
        instead of many; but of hundreds of slow senders each would have its block half full."""
        share = GATHERED_BYTES_MAX // max(1, self._streams)
        return max(BLOCK_BYTES_MIN, min(BLOCK_BYTES_MAX, share))

    def begin(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await finished(self.begin(work, *args, **kwargs))

    async def write_blocks(
        self, write: Callable[[bytes], None], blocks: AsyncIterator[bytes]
    ) -> None:
        """One block is written while the next one comes in, and no more: the sender waits for
        the disk."""
        writing: asyncio.Future[None] | None = None
        self._streams += 1
        try:
            async for block in blocks:
                if writing is not None:
                    await finished(writing)
                writing = self.begin(write, block)
                del block  # the next one may be long in coming
        finally:
            self._streams -= 1
            if writing is not None:
                await finished(writing)

    def close(self) -> None:
        self._pool.shutdown()


async def finished(work: asyncio.Future[T]) -> T:
    """The result. A cancelled caller waits too: nobody may close a file under a thread."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if not work.done():
            await asyncio.wait([work])
        raise
