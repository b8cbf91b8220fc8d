"""Jobs on a real PostgreSQL: one holder at a time, woken at once, resumed after a kill -9."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from tests.integration.admin.following import CatalogueUnderTest, eventually
from tests.support import step_worker
from tests.support.step_worker import KIND, PASSWORD, STEPS

from artstore.admin.jobs.run import GivenUp, Handler, Later, Run
from artstore.admin.jobs.worker import FAILURES_MAX, JobWorker
from artstore.admin.repository import jobs
from artstore.admin.repository.positions import connect
from artstore.core.errors import Unavailable
from artstore.core.model.job import Job, JobState
from artstore.core.secrets.chain import fixed_login


@pytest.fixture
async def board(catalogue: CatalogueUnderTest) -> "Board":
    await catalogue.query("TRUNCATE jobs.jobs")
    await catalogue.query("DROP TABLE IF EXISTS public.steps")
    await catalogue.query("CREATE TABLE public.steps (key text, step int, worker text)")
    return Board(catalogue)


class Board:
    def __init__(self, catalogue: CatalogueUnderTest) -> None:
        self.catalogue = catalogue
        self.database = catalogue.database

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        async with self.catalogue.pool.session() as session:
            yield session

    async def wake(self, kind: str, key: str = "k") -> None:
        async with self.session() as session:
            await jobs.wake(session, kind, key)

    async def all(self) -> list[Job]:
        async with self.session() as session:
            return await jobs.page(session, None, 100, None)

    async def one(self) -> Job:
        (job,) = await self.all()
        return job

    async def is_in(self, state: JobState) -> bool:
        return (await self.one()).state == state

    async def ends_in(self, state: JobState) -> Job:
        async def reached() -> bool:
            return await self.is_in(state)

        await eventually(reached, f"state {state}")
        return await self.one()

    async def steps(self) -> list[dict[str, Any]]:
        return await self.catalogue.query("SELECT key, step, worker FROM public.steps")

    @contextlib.asynccontextmanager
    async def working(
        self, handlers: Mapping[str, Handler], name: str = "w", lease_s: float = 30
    ) -> AsyncIterator[None]:
        worker = JobWorker(
            self.catalogue.pool,
            lambda: connect(self.database.admin_url, fixed_login(self.database.admin_password)),
            handlers,
            name=name,
            lease_s=lease_s,
        )
        task = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @contextlib.contextmanager
    def process(self, name: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", step_worker.__name__, self.database.admin_url, name],
            env=os.environ | {PASSWORD: self.database.admin_password},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.communicate()


async def test_a_job_of_a_killed_worker_goes_on_from_its_last_step(board: Board) -> None:
    await board.wake(KIND)
    with board.process("first") as first:

        async def in_the_middle() -> bool:
            return len(await board.steps()) >= 3

        await eventually(in_the_middle, "the third step")
        first.kill()
        first.wait()
    done_before = len(await board.steps())
    assert done_before < STEPS
    with board.process("second"):
        job = await board.ends_in(JobState.DONE)
    steps = await board.steps()
    assert {each["step"] for each in steps} == set(range(1, STEPS + 1))
    # The step between its work and its saving may be there twice, and no other.
    assert len(steps) <= STEPS + 1
    assert {each["worker"] for each in steps} == {"first", "second"}
    assert (job.attempt, job.failures) == (2, 0)


async def test_several_workers_share_and_nothing_is_done_twice(board: Board) -> None:
    with board.process("a"), board.process("b"):
        for number in range(10):
            await board.wake(KIND, str(number))

        async def all_done() -> bool:
            return all(job.state is JobState.DONE for job in await board.all())

        await eventually(all_done, "all jobs")
    steps = [(each["key"], each["step"]) for each in await board.steps()]
    assert len(steps) == len(set(steps)) == 10 * STEPS
    assert {each["worker"] for each in await board.steps()} == {"a", "b"}


async def test_one_open_job_of_a_kind_and_key(board: Board) -> None:
    for _ in range(3):
        await board.wake("x")
    assert (await board.one()).state is JobState.QUEUED


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_wanted_while_it_runs_is_done_again(board: Board, *, fails: bool) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    runs = 0

    async def handler(_: Run) -> None:
        nonlocal runs
        runs += 1
        began.set()
        await go_on.wait()
        if fails and runs == 1:
            raise GivenUp("not so")

    await board.wake("x")
    async with board.working({"x": handler}):
        await began.wait()
        await board.wake("x")
        go_on.set()
        ended = await board.ends_in(JobState.DONE)
    assert (runs, ended.failures, ended.last_error) == (2, 0, None)


async def test_a_waiting_job_is_woken(board: Board) -> None:
    runs = 0

    async def handler(_: Run) -> Later:
        nonlocal runs
        runs += 1
        return Later()

    await board.wake("x")
    async with board.working({"x": handler}):
        await board.ends_in(JobState.WAITING)
        await board.wake("x")

        async def ran_twice() -> bool:
            return runs == 2

        await eventually(ran_twice, "the second run")


async def test_a_paused_worker_that_lost_its_lease_writes_nothing(board: Board) -> None:
    await board.wake("x")
    async with board.session() as session:
        paused = await jobs.claim(session, "paused", ["x"], 0.01)
    assert paused is not None
    await asyncio.sleep(0.05)
    async with board.session() as session:
        assert await jobs.sweep(session, 30) == 1
    async with board.session() as session:
        fresh = await jobs.claim(session, "fresh", ["x"], 30)
        assert fresh is not None
        assert await jobs.save(session, paused, {"step": 9}, 30) is None
        await jobs.rest(session, paused, JobState.DONE)
        assert await jobs.save(session, fresh, {"step": 1}, 30) is False
    assert (await board.one()).progress == {"step": 1}
    assert (await board.one()).state is JobState.RUNNING


async def test_long_work_keeps_its_lease(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artstore.admin.jobs.worker.SWEEP_EVERY_S", 0.05)
    ran_by: list[str] = []

    def handler_of(name: str) -> Handler:
        async def handler(_: Run) -> None:
            ran_by.append(name)
            await asyncio.sleep(4)

        return handler

    await board.wake("x")
    async with (
        board.working({"x": handler_of("a")}, "a", lease_s=2),
        board.working({"x": handler_of("b")}, "b", lease_s=2),
    ):
        await board.ends_in(JobState.DONE)
    assert len(ran_by) == 1


async def test_a_running_job_is_cancelled_at_its_next_step(board: Board) -> None:
    began = asyncio.Event()

    async def handler(run: Run) -> None:
        while True:
            await run.save({})
            began.set()
            await asyncio.sleep(0.01)

    await board.wake("x")
    async with board.working({"x": handler}):
        await began.wait()
        async with board.session() as session:
            assert await jobs.cancel(session, (await board.one()).job_id)
        ended = await board.ends_in(JobState.CANCELLED)
    async with board.session() as session:
        assert await jobs.cancel(session, ended.job_id) is None


async def test_a_failing_job_is_given_up_and_an_outage_is_waited_out(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artstore.admin.jobs.worker.BACKOFF_MIN_S", 0.0)
    monkeypatch.setattr("artstore.admin.jobs.worker.POLL_S", 0.02)
    tries = 0

    async def fails(_: Run) -> None:
        raise ValueError("broken")

    async def away(_: Run) -> None:
        nonlocal tries
        tries += 1
        if tries <= FAILURES_MAX + 2:
            raise Unavailable("the element is away")

    async with board.working({"x": fails, "y": away}):
        await board.wake("x")
        failed = await board.ends_in(JobState.FAILED)
        assert (failed.last_error, failed.failures) == ("ValueError('broken')", FAILURES_MAX - 1)
        await board.catalogue.query("TRUNCATE jobs.jobs")
        await board.wake("y")
        await board.ends_in(JobState.DONE)


async def test_an_outage_of_many_days_is_still_told_and_waited_out(board: Board) -> None:
    async def away(_: Run) -> None:
        raise Unavailable("the element is away")

    await board.wake("x")
    await board.catalogue.query("UPDATE jobs.jobs SET failures = 5000")
    async with board.working({"x": away}):

        async def noted() -> bool:
            return (await board.one()).failures == 5001

        await eventually(noted, "one failure more")
        job = await board.one()
    assert (job.state, job.last_error) == (JobState.QUEUED, "unavailable: the element is away")


async def test_a_worker_that_stops_gives_its_job_back(board: Board) -> None:
    began = asyncio.Event()

    async def handler(_: Run) -> None:
        began.set()
        await asyncio.sleep(60)

    await board.wake("x")
    async with board.working({"x": handler}):
        await began.wait()
    job = await board.one()
    assert (job.state, job.failures, job.worker) == (JobState.QUEUED, 0, None)


async def test_old_ended_jobs_are_forgotten(board: Board) -> None:
    await board.wake("x")
    async with await psycopg.AsyncConnection.connect(board.database.url) as connection:
        await connection.execute(
            "UPDATE jobs.jobs SET state = 'done', finished_at = now() - interval '31 days'"
        )
    async with board.session() as session:
        await jobs.sweep(session, 30)
    assert await board.all() == []
