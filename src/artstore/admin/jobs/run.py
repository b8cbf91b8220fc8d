"""What the code of a job sees: its row, and how to say that it got on."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from artstore.admin.repository import jobs
from artstore.core.database import Database
from artstore.core.model.job import Job


class Cancelled(Exception):
    """Somebody does not want this job any more."""


class GivenUp(Exception):
    """It cannot be done, and trying again would not help. The text says why."""


class LeaseLost(Exception):
    """Another instance took over: this one was silent for too long. Write nothing."""


@dataclass(frozen=True)
class Later:
    """The job is not over. It goes on after `delay_s`, or, without one, when it is woken."""

    delay_s: float | None = None


class Run:
    """One attempt at a job. Every step must bear being done twice."""

    def __init__(self, database: Database, job: Job, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s
        self.job = job
        self.progress: Mapping[str, Any] = job.progress
        """As it was saved last, by this attempt or one before."""

    @property
    def key(self) -> str:
        return self.job.key

    async def save(self, progress: Mapping[str, Any]) -> None:
        """A step is done: the next attempt begins behind it.

        Raises:
            Cancelled, LeaseLost: Stop.
        """
        self.progress = progress
        async with self._database.session() as session:
            _check(await jobs.save(session, self.job, progress, self._lease_s))

    async def renew(self) -> None:
        """Raises `Cancelled` and `LeaseLost` as `save` does."""
        async with self._database.session() as session:
            _check(await jobs.renew(session, self.job, self._lease_s))


Handler = Callable[[Run], Awaitable[Later | None]]
"""Returns when the job is over, or when there is nothing to do for now."""


def _check(cancel_wanted: bool | None) -> None:
    if cancel_wanted is None:
        raise LeaseLost
    if cancel_wanted:
        raise Cancelled
