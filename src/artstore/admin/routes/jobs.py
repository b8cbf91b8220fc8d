"""HTTP face of work in the background."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from artstore.admin.dependencies import BackgroundDep, LimitParam
from artstore.core.model.account import Scope
from artstore.core.model.job import Job, JobState
from artstore.core.model.page import Page
from artstore.core.web.authentication import require_scope, require_scope_everywhere

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
_read = [Depends(require_scope(Scope.ADMIN_READ))]
_write = [Depends(require_scope_everywhere(Scope.ADMIN_WRITE))]

JOB_ID_MAX = (1 << 63) - 1
JobIdPath = Annotated[int, Path(ge=1, le=JOB_ID_MAX)]
BeforeParam = Annotated[int | None, Query(alias="cursor", ge=1, le=JOB_ID_MAX)]


@router.get("", dependencies=_read)
async def list_jobs(
    jobs: BackgroundDep,
    before: BeforeParam = None,
    limit: LimitParam = 100,
    state: JobState | None = None,
) -> Page[Job]:
    """The newest first."""
    found = await jobs.page(before, limit, state)
    return Page(items=found, next_cursor=str(found[-1].job_id) if len(found) == limit else None)


@router.get("/{job_id}", dependencies=_read)
async def read_job(job_id: JobIdPath, jobs: BackgroundDep) -> Job:
    return await jobs.get(job_id)


@router.post("/{job_id}/cancel", dependencies=_write)
async def cancel_job(job_id: JobIdPath, jobs: BackgroundDep) -> Job:
    """A running job stops at its next step; what it did stays done."""
    return await jobs.cancel(job_id)
