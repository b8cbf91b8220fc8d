"""Jobs that restore archived files, and that remove what was restored when its time is over."""

from collections.abc import Mapping

from artstore.admin.jobs.run import GivenUp, Handler, Later, Run
from artstore.admin.services.restoring.asking import RESTORE_FILE
from artstore.admin.services.restoring.doing import END_RESTORES, Restoring
from artstore.core.errors import FileDamaged


class RestoreJobs:
    def __init__(self, restoring: Restoring) -> None:
        self._restoring = restoring

    def handlers(self) -> Mapping[str, Handler]:
        return {RESTORE_FILE: self._restore, END_RESTORES: self._end}

    async def _restore(self, run: Run) -> None:
        try:
            await self._restoring.restore(run.job)
        except FileDamaged as error:
            await self._restoring.failed(run.job, error.code)
            raise GivenUp(f"{error.code}: {error.detail}") from error

    async def _end(self, run: Run) -> Later:
        return Later(await self._restoring.end())
