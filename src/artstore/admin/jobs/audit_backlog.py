"""Watches how far the audit log is behind. While nothing takes events out of the outbox, it grows
with every change; before it fills the database, changes are refused. Beside that it tells the
numbers of refusals that were only counted.
"""

import asyncio
from typing import Final

from artstore.admin.jobs.regular import Regular
from artstore.admin.repository import audit_log
from artstore.admin.services.audit.trail import Trail
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import AUDIT_BACKLOG

LOOK_EVERY_S: Final = 2.0
OVERDUE_AFTER_S: Final = 300.0


class AuditBacklog:
    """In every instance, not only in the one that writes the log: that one may be stuck."""

    def __init__(self, database: Database, trail: Trail, events_max: int) -> None:
        self._database = database
        self._trail = trail
        self._events_max = events_max

    async def run(self) -> None:
        """Until cancelled."""
        regular = Regular("audit_backlog", OVERDUE_AFTER_S)
        while True:
            try:
                await self._look()
                regular.went_well()
            except Unavailable as error:
                get_logger().warning("the audit's backlog is not known", cause=repr(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        backlog = await audit_log.backlog(self._database)
        AUDIT_BACKLOG.set(backlog)
        is_full = backlog >= self._events_max
        if is_full != self._trail.is_full:
            get_logger().error("the audit log is too far behind", refused=is_full, events=backlog)
        self._trail.is_full = is_full
        if not is_full:
            async with self._database.session() as session:
                await self._trail.tell_counted(session)
