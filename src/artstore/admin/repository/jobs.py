"""Rows of `jobs.jobs`. Every moment is the database's own: instances need not agree on the time."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from psycopg import AsyncConnection
from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.work_tables import jobs
from artstore.core.model.job import Job, JobState

CHANNEL: Final = "artstore_jobs"
OPEN: Final = "('queued', 'running', 'waiting')"

# A running one is told to look again when it is through; one that failed keeps its delay.
_WAKE: Final = f"""
INSERT INTO jobs.jobs AS job (kind, key, payload)
VALUES (%(kind)s, %(key)s, %(payload)s::jsonb)
ON CONFLICT (kind, key) WHERE state IN {OPEN} DO UPDATE
SET state = CASE job.state WHEN 'waiting' THEN 'queued' ELSE job.state END,
    run_after = CASE job.state WHEN 'running' THEN job.run_after ELSE now() END,
    wanted_again = job.state = 'running'
WHERE job.state = 'waiting' OR (job.state = 'running' AND NOT job.wanted_again)
   OR (job.state = 'queued' AND job.failures = 0 AND job.run_after > now())
"""  # noqa: S608
_NOTIFY: Final = f"SELECT pg_notify('{CHANNEL}', %(kind)s)"

_CLAIM: Final = """
UPDATE jobs.jobs
SET state = 'running', attempt = attempt + 1, worker = %(worker)s, wanted_again = false,
    lease_until = now() + %(lease_s)s * interval '1 second',
    started_at = coalesce(started_at, now())
WHERE job_id = (
    SELECT job_id FROM jobs.jobs
    WHERE state = 'queued' AND run_after <= now() AND kind = ANY(%(kinds)s)
    ORDER BY run_after LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING *
"""
# `attempt` is the fence: whoever was taken for dead finds another number and stops.
_HOLDING: Final = "WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'running'"
_RENEW: Final = f"""
UPDATE jobs.jobs SET lease_until = now() + %(lease_s)s * interval '1 second'
{_HOLDING} RETURNING cancel_wanted
"""  # noqa: S608
_SAVE: Final = f"""
UPDATE jobs.jobs
SET progress = %(progress)s::jsonb, failures = 0, last_error = NULL,
    lease_until = now() + %(lease_s)s * interval '1 second'
{_HOLDING} RETURNING cancel_wanted
"""  # noqa: S608
# Given up, yet somebody wanted it again while it ran: that one is owed a try of his own.
_END: Final = f"""
UPDATE jobs.jobs
SET state = CASE WHEN wanted_again AND %(state)s = 'failed' THEN 'queued' ELSE %(state)s END,
    failures = CASE WHEN wanted_again AND %(state)s = 'failed' THEN 0 ELSE failures END,
    finished_at = CASE WHEN wanted_again AND %(state)s = 'failed' THEN NULL ELSE now() END,
    lease_until = NULL, worker = NULL, last_error = %(error)s
{_HOLDING}
"""  # noqa: S608
# Somebody wanted it again while it ran, so it is not over.
_REST: Final = f"""
UPDATE jobs.jobs
SET state = CASE WHEN wanted_again THEN 'queued' ELSE %(state)s END,
    run_after = now() + CASE WHEN wanted_again THEN 0 ELSE %(delay_s)s END * interval '1 second',
    finished_at = CASE WHEN NOT wanted_again AND %(state)s = 'done' THEN now() END,
    lease_until = NULL, worker = NULL, failures = 0, last_error = NULL
{_HOLDING}
"""  # noqa: S608
_RETRY: Final = f"""
UPDATE jobs.jobs
SET state = 'queued', run_after = now() + %(delay_s)s * interval '1 second',
    failures = failures + %(failures)s, last_error = coalesce(%(error)s, last_error),
    lease_until = NULL, worker = NULL
{_HOLDING}
"""  # noqa: S608
_SWEEP: Final = """
UPDATE jobs.jobs SET state = 'queued', run_after = now(), lease_until = NULL, worker = NULL
WHERE state = 'running' AND lease_until < now()
"""
_FORGET: Final = """
DELETE FROM jobs.jobs WHERE state NOT IN ('queued', 'running', 'waiting')
AND finished_at < now() - %(days)s * interval '1 day'
"""
_CANCEL: Final = f"""
UPDATE jobs.jobs
SET cancel_wanted = true,
    state = CASE state WHEN 'running' THEN state ELSE 'cancelled' END,
    finished_at = CASE state WHEN 'running' THEN NULL ELSE now() END
WHERE job_id = %(job_id)s AND state IN {OPEN}
RETURNING *
"""  # noqa: S608

_COUNT_OPEN: Final = f"""
SELECT count(*) AS number FROM jobs.jobs WHERE kind = %(kind)s AND state IN {OPEN}
"""  # noqa: S608


async def wake(
    session: AsyncSession, kind: str, key: str, payload: Mapping[str, Any] | None = None
) -> None:
    """See that this is worked on, now or as soon as the transaction commits. An open one keeps
    the payload that it has."""
    given = orjson.dumps(payload or {}).decode()
    await _run(session, _WAKE, kind=kind, key=key, payload=given)
    await _run(session, _NOTIFY, kind=kind)


async def wake_from(connection: AsyncConnection[Any], kind: str, key: str) -> None:
    """The same on the driver's connection."""
    await connection.execute(_WAKE, {"kind": kind, "key": key, "payload": "{}"})
    await connection.execute(_NOTIFY, {"kind": kind})


async def claim(session: AsyncSession, worker: str, kinds: list[str], lease_s: float) -> Job | None:
    """The next job that is due; it is ours until the lease ends."""
    rows = await _run(session, _CLAIM, worker=worker, kinds=kinds, lease_s=lease_s)
    return _job(rows[0]) if rows else None


async def renew(session: AsyncSession, job: Job, lease_s: float) -> bool | None:
    """Whether somebody wants it cancelled; `None`: it is not ours any more."""
    rows = await _run(session, _RENEW, **_held(job), lease_s=lease_s)
    return bool(rows[0].cancel_wanted) if rows else None


async def save(
    session: AsyncSession, job: Job, progress: Mapping[str, Any], lease_s: float
) -> bool | None:
    """As `renew`. Getting on means that the failures before were no pattern."""
    text = orjson.dumps(progress).decode()
    rows = await _run(session, _SAVE, **_held(job), progress=text, lease_s=lease_s)
    return bool(rows[0].cancel_wanted) if rows else None


async def end(session: AsyncSession, job: Job, state: JobState, error: str | None = None) -> None:
    await _run(session, _END, **_held(job), state=state.value, error=error)


async def rest(session: AsyncSession, job: Job, state: JobState, delay_s: float = 0) -> None:
    """`state`: done, waiting, or queued for `delay_s` from now."""
    await _run(session, _REST, **_held(job), state=state.value, delay_s=delay_s)


async def retry(session: AsyncSession, job: Job, delay_s: float, error: str | None) -> None:
    """`error`: `None` when it did not fail but was interrupted."""
    failures = 0 if error is None else 1
    await _run(session, _RETRY, **_held(job), delay_s=delay_s, failures=failures, error=error)


async def sweep(session: AsyncSession, keep_days: int) -> int:
    """Give back what dead workers held, and forget what ended long ago."""
    given_back = len(await _run(session, f"{_SWEEP} RETURNING job_id"))
    await _run(session, _FORGET, days=keep_days)
    return given_back


async def cancel(session: AsyncSession, job_id: int) -> Job | None:
    """`None`: there is no such job, or it has ended. A running one stops at its next step."""
    rows = await _run(session, _CANCEL, job_id=job_id)
    return _job(rows[0]) if rows else None


async def find(session: AsyncSession, job_id: int) -> Job | None:
    row = (await session.execute(select(jobs).where(jobs.c.job_id == job_id))).one_or_none()
    return _job(row) if row else None


async def latest(session: AsyncSession, kind: str, key: str) -> Job | None:
    """The open one, or else the last that ended."""
    statement = select(jobs).where(jobs.c.kind == kind, jobs.c.key == key)
    row = (await session.execute(statement.order_by(jobs.c.job_id.desc()).limit(1))).one_or_none()
    return _job(row) if row else None


async def count_open(session: AsyncSession, kind: str) -> int:
    return int((await _run(session, _COUNT_OPEN, kind=kind))[0].number)


async def page(
    session: AsyncSession, before: int | None, limit: int, state: JobState | None
) -> list[Job]:
    """The newest first."""
    statement = select(jobs).order_by(jobs.c.job_id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(jobs.c.job_id < before)
    if state is not None:
        statement = statement.where(jobs.c.state == state)
    return [_job(row) for row in await session.execute(statement)]


async def count(session: AsyncSession) -> dict[tuple[str, str], int]:
    """Open and failed jobs by kind and state."""
    rows = await session.execute(
        text(
            "SELECT kind, state, count(*) FROM jobs.jobs "
            "WHERE state IN ('queued', 'running', 'waiting', 'failed') GROUP BY kind, state"
        )
    )
    return {(kind, state): number for kind, state, number in rows}


async def _run(session: AsyncSession, statement: str, **values: Any) -> list[Row[Any]]:
    result = await (await session.connection()).exec_driver_sql(statement, values)
    return list(result) if result.returns_rows else []


def _held(job: Job) -> dict[str, int]:
    return {"job_id": job.job_id, "attempt": job.attempt}


def _job(row: Row[Any]) -> Job:
    return Job.model_validate(row)
