"""Events of many requests in one transaction: a flush of the disk serves all that wait for one."""

import asyncio

from artstore.admin.repository import audit_events
from artstore.admin.services.audit.trail import Deed, Trail, Who, row_of
from artstore.core.database import Database

AT_ONCE_MAX = 64


class Together:
    """Whoever comes while a transaction is under way shares the next one. Nobody waits for
    company: a single event is written at once."""

    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail
        self._waiting: list[tuple[audit_events.EventRow, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, who: Who, deed: Deed) -> None:
        """
        Raises:
            Unavailable: It could not be written down.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((row_of(*self._trail.event_of(who, deed)), written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE_MAX], self._waiting[AT_ONCE_MAX:]
            outcome: Exception | None = None
            try:
                async with self._database.session() as session:
                    await audit_events.add_all(session, [row for row, _ in batch])
            except Exception as error:  # noqa: BLE001  each of those who wait gets to know
                outcome = error
            for _, written in batch:
                if written.done():
                    continue  # Whoever waited has left.
                if outcome is None:
                    written.set_result(None)
                else:
                    written.set_exception(outcome)
