"""Walks that look at many files: those of a collection, those of a draining element.

A walk does the work itself, page by page, and saves where it stands. What it could not do is
noted as due, so it need not wait for an element that is away.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from artstore.admin.repository import collections, copies, elements, holders
from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.copies.keeping import BATCH_FILES_MAX, Keeper
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError
from artstore.core.logging import get_logger
from artstore.core.model.audit import AuditKind
from artstore.core.model.element import DrainState

Save = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Keeps the progress, and raises when the walk is to stop."""


class CollectionWalk:
    """Sees that every file of a collection has the copies it asks for."""

    def __init__(self, database: Database, keeper: Keeper) -> None:
        self._database = database
        self._keeper = keeper

    async def run(self, name: str, progress: Mapping[str, Any], save: Save) -> bool:
        """From where `progress` stands to the end; false: one copy is enough for it."""
        if not await self._is_wanted(name):
            return False
        after, seen = _position(progress), int(progress.get("files", 0))
        async with self._database.session() as session:
            total = await holders.count_collection(session, name)
        while True:
            async with self._database.session() as session:
                ids = await holders.of_collection(session, name, after, BATCH_FILES_MAX)
            if not ids:
                await save({"after": None, "files": seen, "total": seen})
                return True
            await self._keeper.tend(ids)
            after, seen = ids[-1], seen + len(ids)
            await save({"after": str(after), "files": seen, "total": max(total, seen)})
            if not await self._is_wanted(name):
                return False

    async def _is_wanted(self, name: str) -> bool:
        async with self._database.session() as session:
            collection = await collections.find(session, name)
        return collection is not None and collection.copies > 1


class Drain:
    """Copies every file of an element to others, and lets those serve it."""

    def __init__(
        self, database: Database, keeper: Keeper, client: ElementClient, trail: Trail
    ) -> None:
        self._database = database
        self._keeper = keeper
        self._client = client
        self._trail = trail

    async def run(self, element_id: str, progress: Mapping[str, Any], save: Save) -> DrainState:
        """One pass over its files. How it stands then; `OFF`: it is not wanted (any more)."""
        async with self._database.session() as session:
            element = await elements.find(session, element_id)
            left = await holders.count_depending(session, element_id)
        if element is None or element.drain is DrainState.OFF:
            return DrainState.OFF
        for phase in ("first", "further"):
            if progress.get("phase", phase) != phase:
                continue
            left = await self._pass(element_id, phase, _position(progress), left, save)
            progress = {}
        return await self._conclude(element_id, save)

    async def _pass(self, element_id: str, phase: str, after: UUID, left: int, save: Save) -> int:
        """`first`: files that are served from it; `further`: those it has as well as others.
        How many are left then, about."""
        read = holders.of_element if phase == "first" else holders.copies_on
        while True:
            async with self._database.session() as session:
                ids = await read(session, element_id, after, BATCH_FILES_MAX)
            if not ids:
                return left
            await self._keeper.tend(ids)
            left = max(0, left - await self._pass_on(element_id, ids))
            after = ids[-1]
            await save({"phase": phase, "after": str(after), "files_left": left})

    async def _pass_on(self, element_id: str, ids: Sequence[UUID]) -> int:
        async with self._database.session() as session:
            connection = await connection_of(session)
            return await copies.pass_on(connection, element_id, ids, state="present")

    async def _conclude(self, element_id: str, save: Save) -> DrainState:
        """Whether it is drained now. New files may have come from an ingester that did not know,
        and the catalogue must have heard of them."""
        caught_up = await self._is_caught_up(element_id)
        async with self._database.session() as session:
            left = await holders.count_depending(session, element_id)
            state = DrainState.DRAINED if caught_up and left == 0 else DrainState.DRAINING
            changed = await elements.change_drain(session, element_id, state)
            if changed:
                deed = Deed(
                    AuditKind.ELEMENT_CHANGED, element_id=element_id, details={"drain": state.value}
                )
                await self._trail.record(session, Who(), deed)
        if changed:
            get_logger().info("drain", element=element_id, state=state.value)
        await save({"phase": "first", "after": None, "files_left": left})
        return state

    async def _is_caught_up(self, element_id: str) -> bool:
        async with self._database.session() as session:
            element = await elements.find(session, element_id)
        if element is None or element.state != "following":
            return False
        try:
            # Not by comparing sequences: what is no change counts up there too.
            async with self._client.feed(element.url, element.position_seq, 1, 0) as feed:
                return feed.feed_id == element.feed_id and not [line async for line in feed.lines]
        except ArtStoreError:
            # It told everything when it was drained, before it left.
            return element.drain is DrainState.DRAINED


def _position(progress: Mapping[str, Any]) -> UUID:
    after = progress.get("after")
    return UUID(after) if after else holders.FIRST
