"""Works on jobs. Any number of instances may: a row has one holder at a time.

PostgreSQL wakes everybody when there is work (LISTEN); who finds nothing looks again every
few seconds, so that a lost message costs only that. A worker that dies is noticed by the end of
its lease, and its job goes on elsewhere from the last saved step.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Final

import psycopg

from artstore.admin.jobs.regular import Regular
from artstore.admin.jobs.run import Cancelled, GivenUp, Handler, Later, LeaseLost, Run
from artstore.admin.repository import jobs
from artstore.admin.repository.catalogue_files import Connection
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import JOBS, JOBS_DURATION, JOBS_LAST_SUCCESS, JOBS_RUNS
from artstore.core.model.job import Job, JobState
from artstore.core.spans import root_span

AT_ONCE: Final = 4
POLL_S: Final = 2.0
SWEEP_EVERY_S: Final = 5.0
SWEEP_OVERDUE_AFTER_S: Final = 300.0
KEEP_DAYS: Final = 30
FAILURES_MAX: Final = 10
"""Then it is given up, unless it only waits for something that is away."""
_WENT_WELL: Final = frozenset({JobState.DONE, JobState.WAITING, JobState.QUEUED})
BACKOFF_MIN_S: Final = 1.0
BACKOFF_MAX_S: Final = 300.0


class JobWorker:
    def __init__(
        self,
        database: Database,
        connect: Callable[[], Awaitable[Connection]],
        handlers: Mapping[str, Handler],
        *,
        name: str,
        lease_s: float,
    ) -> None:
        """
        Args:
            connect: A connection of its own, to be woken on.
            handlers: What is done about a job, by kind.
            lease_s: After so long a silence others take the worker for dead.
        """
        self._database = database
        self._connect = connect
        self._handlers = handlers
        self._name = name
        self._lease_s = lease_s
        self._woken = asyncio.Event()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._log = get_logger()
        self._sweeping = Regular("jobs_sweep", SWEEP_OVERDUE_AFTER_S)

    async def run(self) -> None:
        """Until cancelled; then what runs is given back for others to go on with."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._listen, POLL_S))
            group.create_task(self._repeat(self._sweep, SWEEP_EVERY_S))
            group.create_task(self._repeat(lambda: self._hand_out(group), POLL_S))

    async def _repeat(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await work()
            except (Unavailable, psycopg.Error, OSError) as error:
                self._log.warning("jobs wait for the database", cause=repr(error))
            except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
                self._log.error("job worker failed", exc_info=error)
            await asyncio.sleep(pause_s)

    async def _listen(self) -> None:
        async with await self._connect() as connection:
            await connection.execute(f"LISTEN {jobs.CHANNEL}")
            self._woken.set()
            async for _ in connection.notifies():
                self._woken.set()

    async def _sweep(self) -> None:
        async with self._database.session() as session:
            given_back = await jobs.sweep(session, KEEP_DAYS)
            counts = await jobs.count(session)
        self._sweeping.went_well()
        JOBS.clear()
        for (kind, state), number in counts.items():
            JOBS.labels(kind, state).set(number)
        if given_back:
            self._log.warning("jobs of dead workers go on", jobs=given_back)
            self._woken.set()

    async def _hand_out(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._free.acquire()
            try:
                job = await self._next()
            except BaseException:
                self._free.release()
                raise
            group.create_task(self._attempt(job))

    async def _next(self) -> Job:
        kinds = list(self._handlers)
        while True:
            # First: what wakes us after this must not be overlooked.
            self._woken.clear()
            async with self._database.session() as session:
                job = await jobs.claim(session, self._name, kinds, self._lease_s)
            if job is not None:
                return job
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_S)

    async def _attempt(self, job: Job) -> None:
        with root_span(f"job {job.kind}", job=job.job_id):
            await self._attempt_traced(job)

    async def _attempt_traced(self, job: Job) -> None:
        began_s = perf_counter()
        try:
            outcome = await self._work(job)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(job))
            raise
        except Exception as error:  # noqa: BLE001  its lease ends, and it goes on then
            self._log.error("job not written", job=job.job_id, exc_info=error)
            outcome = "lost"
        finally:
            self._free.release()
        JOBS_DURATION.labels(job.kind).observe(perf_counter() - began_s)
        JOBS_RUNS.labels(job.kind, outcome).inc()
        if outcome in _WENT_WELL:
            JOBS_LAST_SUCCESS.labels(job.kind).set_to_current_time()

    async def _work(self, job: Job) -> str:
        """How it went, as the metric calls it."""
        try:
            later = await self._with_heartbeat(Run(self._database, job, self._lease_s))
        except LeaseLost:
            self._log.warning("job was taken over", job=job.job_id, kind=job.kind)
            return "lost"
        except Cancelled:
            return await self._end(job, JobState.CANCELLED)
        except (Unavailable, psycopg.OperationalError) as error:
            return await self._retry(job, error)
        except Exception as error:  # noqa: BLE001  the edge of the job: log it, try again
            return await self._failed(job, error)
        return await self._rest(job, later)

    async def _failed(self, job: Job, error: Exception) -> str:
        if isinstance(error, GivenUp):
            return await self._end(job, JobState.FAILED, str(error))
        self._log.error("job failed", job=job.job_id, kind=job.kind, exc_info=error)
        if job.failures + 1 >= FAILURES_MAX:
            return await self._end(job, JobState.FAILED, _told(error))
        return await self._retry(job, error)

    async def _with_heartbeat(self, run: Run) -> Later | None:
        """The work, until it ends or is no longer ours."""
        work = asyncio.ensure_future(self._handlers[run.job.kind](run))
        beat = asyncio.ensure_future(self._beat(run))
        try:
            await asyncio.wait((work, beat), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                beat.result()
            return await work
        finally:
            work.cancel()
            beat.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)

    async def _beat(self, run: Run) -> None:
        """Ends only by raising: the work must stop."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            await run.renew()

    async def _rest(self, job: Job, later: Later | None) -> str:
        if later is None:
            state, delay_s = JobState.DONE, 0.0
        elif later.delay_s is None:
            state, delay_s = JobState.WAITING, 0.0
        else:
            state, delay_s = JobState.QUEUED, later.delay_s
        async with self._database.session() as session:
            await jobs.rest(session, job, state, delay_s)
        return state.value

    async def _retry(self, job: Job, error: Exception) -> str:
        # The power is bounded too: after some days of failures no float could hold it.
        delay_s = min(BACKOFF_MIN_S * 2 ** min(job.failures, 16), BACKOFF_MAX_S)
        delay_s *= random.uniform(0.5, 1)  # noqa: S311  only spreads load
        async with self._database.session() as session:
            await jobs.retry(session, job, delay_s, _told(error))
        return "retried"

    async def _end(self, job: Job, state: JobState, error: str | None = None) -> str:
        async with self._database.session() as session:
            await jobs.end(session, job, state, error)
        return state.value

    async def _give_back(self, job: Job) -> None:
        with contextlib.suppress(Unavailable, psycopg.Error):
            async with self._database.session() as session:
                await jobs.retry(session, job, 0, None)


def _told(error: Exception) -> str:
    """What an operator reads; the log has the rest."""
    return f"{error.code}: {error.detail}" if isinstance(error, ArtStoreError) else repr(error)
