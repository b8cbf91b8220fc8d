"""Brings the copies of files to what is wanted, a batch at a time.

Every step may be done twice: what is needed is looked up anew, the elements take over what
they have already without doing anything.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import StorageElement
from artstore.admin.repository import elements, holders, jobs
from artstore.admin.repository.copies import KEEP_COPIES
from artstore.admin.repository.holders import DueFile, Made
from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.trail import Who
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.copies.planning import (
    ElementView,
    HeldFile,
    Holder,
    Plan,
    Purpose,
    Step,
    plan_for,
)
from artstore.admin.services.elements_control import CopyLine, ElementControl
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError
from artstore.core.logging import get_logger
from artstore.core.metrics import COPIES_MADE
from artstore.core.model.audit import AuditKind
from artstore.core.model.element import ElementInfo
from artstore.core.model.ids import ElementId, FileId
from artstore.core.tracing import enter_trace, new_trace

BATCH_FILES_MAX: Final = 256
"""As many as an element takes over in one request."""
INFO_TIMEOUT_S: Final = 2.0
INFO_AGE_MAX_S: Final = 2.0
TRACE_AGE_MAX_S: Final = 3600.0
"""Far less than what an intent lives."""

Route = tuple[ElementId, ElementId, Purpose]
"""Target, source, and why."""


class Keeper:
    def __init__(
        self,
        database: Database,
        client: ElementClient,
        control: ElementControl,
        intents: Intents,
        clock: Clock,
    ) -> None:
        self._database = database
        self._intents = intents
        self._client = client
        self._control = control
        self._clock = clock
        self._infos: Mapping[str, ElementInfo | None] = {}
        self._looked_at_s = float("-inf")
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
            files = await _held(session, ids)
            registered = await elements.every(session)
        view = await self._look_at(registered)
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

    async def _look_at(self, registered: Sequence[StorageElement]) -> dict[ElementId, ElementView]:
        if self._clock.monotonic_s() - self._looked_at_s > INFO_AGE_MAX_S:
            infos = await asyncio.gather(*(self._info(element) for element in registered))
            self._infos = {
                element.url: info for element, info in zip(registered, infos, strict=True)
            }
            self._looked_at_s = self._clock.monotonic_s()
        return {
            element.element_id: ElementView(
                element.element_id,
                element.url,
                element.priority,
                element.drain,
                self._infos.get(element.url),
            )
            for element in registered
        }

    async def _info(self, element: StorageElement) -> ElementInfo | None:
        try:
            info = await self._client.info(element.url, INFO_TIMEOUT_S)
        except ArtStoreError:
            return None
        return info if info.element_id == element.element_id else None

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
        waiting = {UUID(file_id): "the element broke off" for file_id in ids}
        made: list[Made] = []
        try:
            lines = self._control.take_over(view[target].url, view[source].url, ids, purpose)
            async with aclosing(lines):
                async for line in lines:
                    if line.is_done and line.revision is not None:
                        del waiting[UUID(line.file_id)]
                        made.append(Made(UUID(line.file_id), target, line.revision))
                    else:
                        waiting[UUID(line.file_id)] = _refusal(line, target)
        except ArtStoreError as error:
            waiting = dict.fromkeys(waiting, f"{target}: {error.code}")
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


def _refusal(line: CopyLine, target: ElementId) -> str:
    return f"{target}: {line.code or line.status}: {line.detail or 'refused'}"


async def _held(session: AsyncSession, ids: Sequence[UUID]) -> list[HeldFile]:
    known: dict[UUID, dict[ElementId, Holder]] = defaultdict(dict)
    for row in await holders.copies_of(session, ids):
        known[row.file_id][row.element_id] = Holder(row.element_id, row.revision, row.state)
    files = []
    for row in await holders.held_files(session, ids):
        # Of most files the table of files alone says who holds them.
        first = Holder(row.element_id, row.revision, row.state)
        held = {row.element_id: first} | known[row.file_id]
        file_id = FileId(str(row.file_id))
        files.append(HeldFile(file_id, row.size_bytes, row.wanted, tuple(held.values())))
    return files
