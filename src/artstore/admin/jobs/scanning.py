"""The job that has stored files scanned again."""

import asyncio
from typing import Final

from artstore.admin.jobs.run import Later, Run
from artstore.admin.repository import jobs
from artstore.admin.services.rescanning import RESCAN, Rescanning
from artstore.core.database import Database
from artstore.core.errors import Unavailable

LOOK_EVERY_S: Final = 30.0


class ScanJobs:
    def __init__(self, database: Database, rescanning: Rescanning) -> None:
        self._database = database
        self._rescanning = rescanning

    async def rescan(self, run: Run) -> Later:
        await self._rescanning.run(run.progress, run.save)
        return Later(LOOK_EVERY_S)

    async def begin(self) -> None:
        """There is one such job, as long as there is an installation."""
        while True:
            try:
                async with self._database.session() as session:
                    await jobs.wake(session, RESCAN, "")
            except Unavailable:
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return
