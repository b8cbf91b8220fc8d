"""Restores as they are asked for."""

from typing import Final
from uuid import UUID

from artstore.admin.repository import jobs, restores
from artstore.admin.repository.restores import RestoredFile
from artstore.admin.services.audit.trail import Trail, Who
from artstore.admin.services.catalogue.files import Files
from artstore.admin.services.copies.views import Views, held_files
from artstore.admin.services.elements_control import ElementControl
from artstore.admin.services.restoring.rules import is_readable
from artstore.core.database import Database
from artstore.core.errors import (
    FileDeleted,
    NotArchived,
    TooManyRequests,
    Unavailable,
    UnknownFile,
)
from artstore.core.model.ids import FileId
from artstore.core.model.job import Job, JobState
from artstore.core.model.restored import Restore, RestoreState

RESTORE_FILE: Final = "files.restore"
"""Kind of the job that restores one file; its key is the file."""
WAITING_MAX: Final = 1000
"""Restores that may wait at a time: whoever wants whole collections asks for them in turns."""

_STATES: Final = {
    JobState.FAILED: RestoreState.FAILED,
    JobState.CANCELLED: RestoreState.CANCELLED,
    JobState.DONE: RestoreState.EXPIRED,
}
_TROUBLED: Final = (RestoreState.PENDING, RestoreState.FAILED)


class Restores:
    def __init__(
        self, database: Database, files: Files, views: Views, control: ElementControl, trail: Trail
    ) -> None:
        self._database = database
        self._files = files
        self._views = views
        self._control = control
        self._trail = trail

    async def ask(self, file_id: FileId, who: Who) -> Restore:
        """The restore under way, or the copy that is there already; else a new one begins.

        Raises:
            UnknownFile, FileDeleted: There is none (any more).
            NotArchived: It can be read as it is.
            TooManyRequests: Too many wait already.
            Unavailable.
        """
        found = await self.status(file_id)
        if found.state is RestoreState.PENDING or await self._is_there(found):
            return found
        if (await self._files.record(file_id)).deleted is not None:
            raise FileDeleted
        await self._check_archived(file_id)
        # No name and no address: they are for the audit alone.
        payload = {"subject": who.subject, "token_id": who.token_id, "services": who.services}
        self._trail.check()
        async with self._database.session() as session:
            if await jobs.count_open(session, RESTORE_FILE) >= WAITING_MAX:
                raise TooManyRequests("too many restores wait; ask again later", retry_after_s=60)
            if found.element_id is not None and found.expires_at is not None:
                lost = RestoredFile(UUID(file_id), found.element_id, found.expires_at)
                await restores.forget(session, lost)
            await jobs.wake(session, RESTORE_FILE, file_id, payload)
        return await self.status(file_id)

    async def status(self, file_id: FileId) -> Restore:
        async with self._database.session() as session:
            copy = await restores.readable(session, UUID(file_id))
            job = await jobs.latest(session, RESTORE_FILE, file_id)
        return _restore(file_id, copy, job)

    async def _is_there(self, found: Restore) -> bool:
        """A copy is no file of its element: that one may have lost it without a word."""
        if found.state is not RestoreState.READY or found.element_id is None:
            return False
        view = (await self._views.look()).get(found.element_id)
        if view is None:
            return False
        try:
            await self._control.restored(view.url, found.file_id)
        except UnknownFile:
            return False
        except Unavailable:
            return True
        return True

    async def _check_archived(self, file_id: FileId) -> None:
        async with self._database.session() as session:
            files = await held_files(session, [UUID(file_id)])
        view = await self._views.look()
        if files and is_readable(files[0], view):
            raise NotArchived("this file can be read as it is; no restore is needed")


def _restore(file_id: FileId, copy: RestoredFile | None, job: Job | None) -> Restore:
    state = RestoreState.NONE
    if job is not None:
        state = _STATES.get(job.state, RestoreState.PENDING)
    if copy is not None:
        state = RestoreState.READY
    return Restore(
        file_id=file_id,
        state=state,
        job_id=job.job_id if job else None,
        requested_at=job.created_at if job else None,
        element_id=copy.element_id if copy else None,
        expires_at=copy.expires_at if copy else None,
        trouble=job.last_error if job and state in _TROUBLED else None,
    )
