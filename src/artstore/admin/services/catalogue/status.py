"""How the catalogue stands to the elements, and building it again."""

import asyncio
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from artstore.admin.model import StorageElement
from artstore.admin.repository import catalogue_state, elements
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError
from artstore.core.logging import get_logger
from artstore.core.model.audit import AuditKind
from artstore.core.model.element import ElementInfo

INFO_TIMEOUT_S = 2.0


class FileCounts(BaseModel):
    present: int = 0
    deleted: int = 0
    missing: int = 0
    """The catalogue knows them, the last listing of the element lacked them."""


class ElementProgress(BaseModel):
    element_id: str
    state: Literal["new", "listing", "following"]
    position_seq: int
    head_seq: int | None
    """The element's last change; `None` when it does not answer, or tells another history."""
    behind: int | None
    """Changes that the catalogue does not show yet."""
    files: FileCounts
    trouble: str | None
    last_seen: datetime | None


class CatalogueStatus(BaseModel):
    rebuilding: bool
    """An element is being listed: until then files may be missing from search."""
    elements: list[ElementProgress]


class Catalogue:
    def __init__(self, database: Database, client: ElementClient, trail: Trail) -> None:
        self._database = database
        self._client = client
        self._trail = trail

    async def status(self) -> CatalogueStatus:
        async with self._database.session() as session:
            registered = await elements.every(session)
            counts = await catalogue_state.count_files(session)
        # No transaction stays open while elements are asked.
        infos = await asyncio.gather(*(self._info(element) for element in registered))
        progress = [
            _progress(element, info, FileCounts(**counts.get(element.element_id, {})))
            for element, info in zip(registered, infos, strict=True)
        ]
        return CatalogueStatus(
            rebuilding=any(element.state != "following" for element in registered),
            elements=progress,
        )

    async def rebuild(self, *, from_scratch: bool, ordered_by: Who) -> None:
        """List every element again; the followers begin within a second or two.

        In place, what is there stays findable meanwhile. From scratch, all rows go first,
        and with them the memory of files that are missing from their element.
        """
        async with self._database.session() as session:
            await catalogue_state.order_rebuild(session, from_scratch=from_scratch)
            deed = Deed(AuditKind.CATALOGUE_REBUILT, details={"from_scratch": from_scratch})
            await self._trail.record(session, ordered_by, deed)
        get_logger().info("rebuild ordered", from_scratch=from_scratch, by=ordered_by.name)

    async def _info(self, element: StorageElement) -> ElementInfo | None:
        try:
            return await self._client.info(element.url, INFO_TIMEOUT_S)
        except ArtStoreError:
            return None


def _progress(
    element: StorageElement, info: ElementInfo | None, counts: FileCounts
) -> ElementProgress:
    same_history = info is not None and info.feed_id == element.feed_id
    head_seq = info.head_seq if info is not None and same_history else None
    return ElementProgress(
        element_id=element.element_id,
        state=element.state,
        position_seq=element.position_seq,
        head_seq=head_seq,
        behind=None if head_seq is None else max(0, head_seq - element.position_seq),
        files=counts,
        trouble=element.trouble,
        last_seen=element.last_seen,
    )
