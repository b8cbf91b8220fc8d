"""Jobs, as people look at them and stop them."""

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import jobs as repository
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.core.errors import JobEnded, UnknownJob
from artstore.core.model.audit import AuditKind, Target
from artstore.core.model.job import Job, JobState


class Background:
    def __init__(self, session: AsyncSession, audit: BoundTrail) -> None:
        """`audit` writes in the transaction of `session`."""
        self._session = session
        self._audit = audit

    async def page(self, before: int | None, limit: int, state: JobState | None) -> list[Job]:
        """The newest first."""
        return await repository.page(self._session, before, limit, state)

    async def get(self, job_id: int) -> Job:
        job = await repository.find(self._session, job_id)
        if job is None:
            raise UnknownJob
        return job

    async def cancel(self, job_id: int) -> Job:
        """A running one stops at its next step. What it did stays done.

        Raises:
            UnknownJob, JobEnded: There is nothing to stop.
        """
        job = await repository.cancel(self._session, job_id)
        if job is None:
            ended = await self.get(job_id)
            raise JobEnded(f"the job is {ended.state} already")
        target = Target(type="job", id=str(job_id))
        details = {"kind": job.kind, "key": job.key}
        await self._audit.record(Deed(AuditKind.JOB_CANCELLED, target=target, details=details))
        return job
