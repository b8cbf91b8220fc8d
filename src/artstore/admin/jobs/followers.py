"""Keeps one follower running for each registered element.

Of several admin instances one leads per element: it holds the element's advisory lock on a
connection of its own, and writes on that same connection. The others ask for the lock again
and again, and get it when that connection is gone.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import psycopg

from artstore.admin.repository.catalogue_files import Connection
from artstore.admin.repository.positions import Followed, Positions, Superseded
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.catalogue.following import Following, OtherElement, Source
from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError, Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import CATALOGUE_LAG, CATALOGUE_MISSING_FILES

REGISTRY_POLL_S: Final = 1.0
LEADER_POLL_S: Final = 1.0
BACKOFF_MIN_S: Final = 0.25
BACKOFF_MAX_S: Final = 5.0

Connect = Callable[[], Awaitable[Connection]]
ReadRegistry = Callable[[], Awaitable[set[Followed]]]


class Followers:
    def __init__(
        self,
        read_registry: ReadRegistry,
        connect: Connect,
        source: Source,
        clock: Clock,
        trail: Trail,
    ) -> None:
        self._read_registry = read_registry
        self._connect = connect
        self._source = source
        self._clock = clock
        self._trail = trail
        self._tasks: dict[Followed, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                with contextlib.suppress(Unavailable):  # The readiness check says so.
                    await self._match(await self._read_registry())
                await asyncio.sleep(REGISTRY_POLL_S)
        finally:
            await self._stop(list(self._tasks))

    async def _match(self, wanted: set[Followed]) -> None:
        """A new address or an ordered rebuild begins a new follower, in place of the old."""
        await self._stop([element for element in self._tasks if element not in wanted])
        for element in wanted - self._tasks.keys():
            element_id = element.element_id
            follower = Follower(element_id, self._connect, self._source, self._clock, self._trail)
            self._tasks[element] = asyncio.create_task(follower.run(), name=f"follow {element_id}")

    async def _stop(self, elements: list[Followed]) -> None:
        stopping = [self._tasks.pop(element) for element in elements]
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)


class Follower:
    """One element: become the leader, then take step after step."""

    def __init__(
        self, element_id: str, connect: Connect, source: Source, clock: Clock, trail: Trail
    ) -> None:
        self._element_id = element_id
        self._connect = connect
        self._source = source
        self._clock = clock
        self._trail = trail
        self._log = get_logger()
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled. Whatever fails is tried again."""
        while True:
            try:
                async with self._leading() as positions:
                    await self._follow(positions)
            except (psycopg.Error, OSError) as error:
                self._log.warning("database is away", element=self._element_id, cause=repr(error))
            except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
                self._log.error("follower failed", element=self._element_id, exc_info=error)
            await self._back_off()

    @contextlib.asynccontextmanager
    async def _leading(self) -> AsyncIterator[Positions]:
        async with await self._connect() as connection:
            positions = Positions(connection, self._element_id)
            # PostgreSQL could wait for the lock itself, but a statement that waits for weeks
            # keeps every dead row of the database from being cleaned up.
            while not await positions.try_to_lead():  # noqa: ASYNC110
                await asyncio.sleep(LEADER_POLL_S)
            self._log.info("following", element=self._element_id)
            try:
                yield positions
            finally:
                # Another instance shows these from now on.
                with contextlib.suppress(KeyError):
                    CATALOGUE_LAG.remove(self._element_id)
                    CATALOGUE_MISSING_FILES.remove(self._element_id)

    async def _follow(self, positions: Positions) -> None:
        following = Following(positions, self._source, self._clock, self._trail)
        await following.count_missing(self._element_id)
        while True:
            try:
                await following.step()
            except Superseded:
                await asyncio.sleep(BACKOFF_MIN_S)
            except (ArtStoreError, OtherElement) as error:
                await self._bear(positions, error)
            else:
                self._recovered()

    async def _bear(self, positions: Positions, error: Exception) -> None:
        """The element is in trouble. Stay the leader, and try again less and less often."""
        trouble = "unavailable" if isinstance(error, Unavailable) else "broken"
        if isinstance(error, OtherElement):
            trouble = "other_element"
        if self._failures == 0:
            self._log.warning(
                "element cannot be followed",
                element=self._element_id,
                trouble=trouble,
                cause=repr(error.__cause__ or error),
            )
            await positions.note_trouble(trouble)
        await self._back_off()

    def _recovered(self) -> None:
        if self._failures:
            self._log.info("element is followed again", element=self._element_id)
        self._failures = 0

    async def _back_off(self) -> None:
        """Doubling, and spread, so that many followers do not come back as one."""
        delay_s = min(BACKOFF_MIN_S * 2**self._failures, BACKOFF_MAX_S)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(delay_s * random.uniform(0.5, 1))  # noqa: S311  only spreads load
