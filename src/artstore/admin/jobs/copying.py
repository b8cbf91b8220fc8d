"""Jobs that keep the copies of files as they are wanted."""

import asyncio
from collections.abc import Mapping
from typing import Final

from artstore.admin.jobs.regular import Regular
from artstore.admin.jobs.run import Handler, Later, Run
from artstore.admin.repository import holders
from artstore.admin.repository.copies import KEEP_COPIES
from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.collections import KEEP_COLLECTION
from artstore.admin.services.copies.keeping import Keeper
from artstore.admin.services.copies.views import Views
from artstore.admin.services.copies.walking import CollectionWalk, Drain
from artstore.admin.services.elements import DRAIN_ELEMENT
from artstore.admin.services.elements_control import ElementControl
from artstore.core.catalogue import COPY_STATES
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import COPIES, COPIES_BELOW_TARGET
from artstore.core.model.element import DrainState

WALK_EVERY_S: Final = 86_400.0
"""Whatever was missed, by a fault or a race, is found on the next day."""
DRAIN_PASS_EVERY_S: Final = 2.0
"""Between two passes over a draining element: files may be left, or still come."""
DRAINED_LOOK_EVERY_S: Final = 30.0
COUNT_OVERDUE_AFTER_S: Final = 300.0
COUNT_EVERY_S: Final = 60.0
"""All copies are counted for the metrics, which takes a while when there are many."""


class CopyJobs:
    def __init__(
        self,
        database: Database,
        client: ElementClient,
        control: ElementControl,
        *,
        views: Views,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._keeper = Keeper(database, views, control, Intents(database, trail), clock)
        self._walk = CollectionWalk(database, self._keeper)
        self._drain_of = Drain(database, self._keeper, client, trail)

    def handlers(self) -> Mapping[str, Handler]:
        return {
            KEEP_COPIES: self._keep,
            KEEP_COLLECTION: self._collection,
            DRAIN_ELEMENT: self._drain,
        }

    async def _keep(self, run: Run) -> Later:
        """Work off what is due; then wait for the next that is."""
        looked_at = int(run.progress.get("files_looked_at", 0))
        while True:
            number = await self._keeper.work_off()
            looked_at += number
            async with self._database.session() as session:
                delay_s = await holders.next_due_s(session)
                left = await holders.count_due(session)
                troubles = await holders.troubles(session)
            progress = {"files_looked_at": looked_at, "files_below_target": left}
            await run.save({**progress, **({"because": troubles} if troubles else {})})
            if number == 0:
                return Later(None if delay_s is None else max(delay_s, 0.0))

    async def _collection(self, run: Run) -> Later | None:
        wanted = await self._walk.run(run.key, run.progress, run.save)
        return Later(WALK_EVERY_S) if wanted else None

    async def _drain(self, run: Run) -> Later | None:
        state = await self._drain_of.run(run.key, run.progress, run.save)
        if state is DrainState.OFF:
            return None
        drained = state is DrainState.DRAINED
        return Later(DRAINED_LOOK_EVERY_S if drained else DRAIN_PASS_EVERY_S)

    async def watch(self) -> None:
        """Keep the metrics true, whichever instance does the work. Until cancelled."""
        regular = Regular("copies_count", COUNT_OVERDUE_AFTER_S)
        while True:
            try:
                await self._count()
                regular.went_well()
            except Unavailable as error:
                get_logger().warning("copies are not counted", cause=repr(error))
            await asyncio.sleep(COUNT_EVERY_S)

    async def _count(self) -> None:
        async with self._database.session() as session:
            counts = await holders.count_by_state(session)
            COPIES_BELOW_TARGET.set(await holders.count_due(session))
        for state in COPY_STATES:
            COPIES.labels(state).set(counts.get(state, 0))
