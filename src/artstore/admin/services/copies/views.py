"""What there is to decide on: who holds which file, and how the elements stand now."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import StorageElement
from artstore.admin.repository import elements, holders
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.copies.planning import ElementView, HeldFile, Holder
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError
from artstore.core.model.element import ElementInfo
from artstore.core.model.ids import ElementId, FileId

INFO_TIMEOUT_S: Final = 2.0
INFO_AGE_MAX_S: Final = 2.0


class Views:
    """Asks the elements, and not for every file anew."""

    def __init__(self, database: Database, client: ElementClient, clock: Clock) -> None:
        self._database = database
        self._client = client
        self._clock = clock
        self._infos: Mapping[str, ElementInfo | None] = {}
        self._looked_at_s = float("-inf")

    async def look(self) -> dict[ElementId, ElementView]:
        async with self._database.session() as session:
            registered = await elements.every(session)
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


async def held_files(session: AsyncSession, ids: Sequence[UUID]) -> list[HeldFile]:
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
