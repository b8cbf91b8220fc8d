"""The change feed with long polling."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from artstore.storage.engine.engine import Engine
from artstore.storage.engine.feed import FeedPage
from artstore.storage.services.threads import Threads

STOP_CHECK_S: Final = 1.0
"""How often somebody who waits looks whether the process wants to end."""


class ChangeFeed:
    """Create it inside the running event loop."""

    def __init__(self, engine: Engine, threads: Threads, is_stopping: Callable[[], bool]) -> None:
        self._engine = engine
        self._threads = threads
        self._is_stopping = is_stopping
        self._grown = asyncio.Event()
        self._readers = 0
        self._loop = asyncio.get_running_loop()
        engine.on_durable(self._on_durable)

    async def changes(self, after: int, limit: int, wait_s: float) -> FeedPage:
        """Changes behind `after`, oldest first. Without any, waits up to `wait_s` for one.

        Raises:
            PositionGone: The feed does not hold `after`.
        """
        # Before reading, as `grown` below: what becomes durable in between must wake us.
        self._readers += 1
        try:
            return await self._changes(after, limit, self._loop.time() + wait_s)
        finally:
            self._readers -= 1

    async def _changes(self, after: int, limit: int, deadline_s: float) -> FeedPage:
        while True:
            grown = self._grown
            page = await self._threads.run(self._engine.feed.changes, after, limit)
            remaining_s = deadline_s - self._loop.time()
            if page.lines or remaining_s <= 0 or self._is_stopping():
                return page
            with suppress(TimeoutError):
                async with asyncio.timeout(min(remaining_s, STOP_CHECK_S)):
                    await grown.wait()

    def _on_durable(self) -> None:
        if self._readers == 0:
            return
        # RuntimeError: the loop is closed already, nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()
