"""Brings the copies of files to what is wanted, a batch at a time.

Every step may be done twice: what is needed is looked up anew, the elements take over what
they have already without doing anything.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final
from uuid import UUID

from artstore.admin.repository import holders, jobs
from artstore.admin.repository.copies import KEEP_COPIES
from artstore.admin.repository.holders import DueFile, Made
from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.trail import Who
from artstore.admin.services.copies.planning import ElementView, Plan, Purpose, Step, plan_for
from artstore.admin.services.copies.views import Views, held_files
from artstore.admin.services.elements_control import CopyLine, ElementControl
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError
from artstore.core.logging import get_logger
from artstore.core.metrics import COPIES_MADE
from artstore.core.model.audit import AuditKind
from artstore.core.model.ids import ElementId, FileId
from artstore.core.tracing import enter_trace, new_trace

BATCH_FILES_MAX: Final = 256
"""As many as an element takes over in one request."""
TRACE_AGE_MAX_S: Final = 3600.0
"""Far less than what an intent lives."""

Route = tuple[ElementId, ElementId, Purpose]
"""Target, source, and why."""


class Keeper:
    def __init__(
        self,
        database: Database,
        views: Views,
        control: ElementControl,
        intents: Intents,
        clock: Clock,
    ) -> None:
        self._database = database
        self._intents = intents
        self._views = views
        self._control = control
        self._clock = clock
        self._trace = new_trace(sampled=False)
        self._traced_at_s = float("-inf")
        self._log = get_logger()

    async def work_off(self) -> int:
        """Tend the files that wait longest; how many. 0: none is due now."""
        async with self._database.session() as session:
            due = await holders.due(session, BATCH_FILES_MAX)
        if due:
            await self._settle(due, await self.tend([file.file_id for file in due]))
        return len(due)

    async def tend(self, ids: Sequence[UUID]) -> dict[UUID, str]:
        """Do what these files need. Those that are not as they should be yet, and why, are
        also noted to be looked at again."""
        async with self._database.session() as session:
            files = await held_files(session, ids)
        view = await self._views.look()
        plans = {UUID(file.file_id): plan_for(file, view) for file in files}
        troubles = {file_id: plan.trouble for file_id, plan in plans.items() if plan.trouble}
        if any(plan.steps for plan in plans.values()):
            await self._enter_own_trace()
        made, failed = await self._carry_out(plans, view)
        troubles |= failed
        await self._note(made, troubles)
        return troubles

    async def _enter_own_trace(self) -> None:
        """The elements' feeds tell of copies under a trace that says what they are: they would
        be audited as uploads. One for many files, or there would be a row for each."""
        if self._clock.monotonic_s() - self._traced_at_s > TRACE_AGE_MAX_S:
            self._trace = new_trace(sampled=False)
            enter_trace(self._trace)
            async with self._intents.asking(Who(), AuditKind.FILE_COPIED):
                self._traced_at_s = self._clock.monotonic_s()
        enter_trace(self._trace)

    async def _carry_out(
        self, plans: Mapping[UUID, Plan], view: Mapping[ElementId, ElementView]
    ) -> tuple[list[Made], dict[UUID, str]]:
        routes: dict[Route, list[FileId]] = defaultdict(list)
        for plan in plans.values():
            for step in plan.steps:
                routes[_route(step)].append(step.file_id)
        made: list[Made] = []
        failed: dict[UUID, str] = {}
        orders = (self._order(route, ids, view) for route, ids in routes.items())
        for done, refused in await asyncio.gather(*orders):
            made += done
            failed |= refused
        return made, failed

    async def _order(
        self, route: Route, ids: Sequence[FileId], view: Mapping[ElementId, ElementView]
    ) -> tuple[list[Made], dict[UUID, str]]:
        """One request to one element."""
        target, source, purpose = route
        lines = self._control.take_over(view[target].url, view[source].url, ids, purpose)
        made, waiting = await outcome_of(lines, ids, target)
        COPIES_MADE.labels(purpose, "done").inc(len(made))
        COPIES_MADE.labels(purpose, "refused").inc(len(waiting))
        self._log.info(
            "files taken over",
            target=target,
            source=source,
            purpose=purpose,
            done=len(made),
            refused=len(waiting),
            reasons=sorted(set(waiting.values()))[:5],
        )
        return made, waiting

    async def _note(self, made: Sequence[Made], troubles: Mapping[UUID, str]) -> None:
        by_trouble: dict[str, list[UUID]] = defaultdict(list)
        for file_id, trouble in troubles.items():
            by_trouble[trouble].append(file_id)
        async with self._database.session() as session:
            for trouble, ids in sorted(by_trouble.items()):
                await holders.troubled(session, ids, trouble)
            await holders.note_made(session, made)
            if troubles:
                # It may be waiting, since nothing was due until now.
                await jobs.wake(session, KEEP_COPIES, "")

    async def _settle(self, due: Sequence[DueFile], troubles: Mapping[UUID, str]) -> None:
        async with self._database.session() as session:
            await holders.settled(session, [file for file in due if file.file_id not in troubles])


def _route(step: Step) -> Route:
    return step.target, step.source, step.purpose


async def outcome_of(
    lines: AsyncGenerator[CopyLine, None], ids: Sequence[FileId], target: ElementId
) -> tuple[list[Made], dict[UUID, str]]:
    """What was made of `ids`, and why the rest was not. What an element says of other files, or
    again of one that is done, counts for nothing: it must not stop the copies of all others."""
    waiting = dict.fromkeys(ids, "the element broke off")
    made: list[Made] = []
    try:
        async with aclosing(lines):
            async for line in lines:
                if line.file_id not in waiting:
                    continue
                if line.is_done and line.revision is not None:
                    del waiting[line.file_id]
                    made.append(Made(UUID(line.file_id), target, line.revision))
                else:
                    waiting[line.file_id] = _refusal(line, target)
    except ArtStoreError as error:
        waiting = dict.fromkeys(waiting, f"{target}: {error.code}")
    return made, {UUID(file_id): trouble for file_id, trouble in waiting.items()}


def _refusal(line: CopyLine, target: ElementId) -> str:
    return f"{target}: {line.code or line.status}: {line.detail or 'refused'}"
