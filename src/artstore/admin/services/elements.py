"""Storage elements as their operator sees and directs them."""

import asyncio

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import StorageElement
from artstore.admin.repository import elements as repository
from artstore.admin.repository import holders, jobs
from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.elements_control import ElementControl, ModeOrder
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, ElementInUse, UnknownElement
from artstore.core.model.audit import AuditKind
from artstore.core.model.element import DrainState, ElementInfo
from artstore.core.model.scrub import ScrubRequest, ScrubStatus

DRAIN_ELEMENT = "elements.drain"
"""Kind of the job that drains an element; its key is the element."""
STATUS_TIMEOUT_S = 2.0


class ElementStatus(StorageElement):
    """An element, what it says of itself now, and what is known of its files."""

    info: ElementInfo | None
    """`None` when it does not answer."""
    behind: int | None
    """Changes that the catalogue does not show yet; `None` when that cannot be known now."""
    copies_damaged: int
    copies_missing: int
    """Of files that others have too, or that it found damaged."""
    files_left: int | None
    """While it drains: files that would be away with it."""


class DrainOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    on: bool


class Elements:
    def __init__(
        self,
        database: Database,
        client: ElementClient,
        control: ElementControl,
        trail: Trail,
    ) -> None:
        self._database = database
        self._client = client
        self._control = control
        self._trail = trail
        self._intents = Intents(database, trail)

    async def page(self, after: str, limit: int) -> list[ElementStatus]:
        """Those behind `after`, all asked at once; who does not answer costs two seconds."""
        async with self._database.session() as session:
            registered = await repository.page(session, after, limit)
        return await self._status(registered)

    async def get(self, element_id: str) -> ElementStatus:
        return (await self._status([await self._find(element_id)]))[0]

    async def _status(self, registered: list[StorageElement]) -> list[ElementStatus]:
        async with self._database.session() as session:
            bad = await holders.count_bad(session)
            left = {
                element.element_id: await holders.count_depending(session, element.element_id)
                for element in registered
                if element.drain is not DrainState.OFF
            }
        infos = await asyncio.gather(*(self._info(element) for element in registered))
        return [
            ElementStatus(
                **element.model_dump(),
                info=info,
                behind=_behind(element, info),
                copies_damaged=bad.get(element.element_id, {}).get("damaged", 0),
                copies_missing=bad.get(element.element_id, {}).get("missing", 0),
                files_left=left.get(element.element_id),
            )
            for element, info in zip(registered, infos, strict=True)
        ]

    async def set_mode(
        self, element_id: str, mode: str, reason: str, *, confirm: bool, who: Who
    ) -> ElementInfo:
        """The element has it on its disk when this returns, and its log tells it.

        Raises:
            ConfirmationRequired: It says what the change means.
            ModeForbids: There is no way from its mode to this one.
        """
        element = await self._find(element_id)
        order = ModeOrder(mode, who.name or who.subject or "admin", reason, confirm)
        async with self._intents.asking(who, AuditKind.ELEMENT_MODE_CHANGED, element_id=element_id):
            return await self._control.set_mode(element.url, order)

    async def scrub(self, element_id: str, request: ScrubRequest, who: Who) -> ScrubStatus:
        element = await self._find(element_id)
        status = await self._control.scrub(element.url, request)
        details = request.model_dump(mode="json", exclude_none=True)
        deed = Deed(AuditKind.ELEMENT_SCRUBBED, element_id=element_id, details=details)
        async with self._database.session() as session:
            await self._trail.record(session, who, deed)
        return status

    async def scrub_status(self, element_id: str) -> ScrubStatus:
        return await self._control.scrub_status((await self._find(element_id)).url)

    async def drain(self, element_id: str, *, on: bool, who: Who) -> StorageElement:
        """New files go elsewhere within seconds; a job copies what is there."""
        async with self._database.session() as session:
            element = await self._locked(session, element_id)
            if on:
                # Again: a job that was cancelled or given up begins anew.
                await jobs.wake(session, DRAIN_ELEMENT, element_id)
            if on is (element.drain is not DrainState.OFF):
                return element
            state = DrainState.DRAINING if on else DrainState.OFF
            changed = await repository.change(session, element_id, {"drain": state.value})
            details = {"drain": state.value}
            deed = Deed(AuditKind.ELEMENT_CHANGED, element_id=element_id, details=details)
            await self._trail.record(session, who, deed)
        return changed or element

    async def remove(self, element_id: str, who: Who) -> None:
        """Take it out of the registry. What is on its disk stays there.

        Raises:
            ElementInUse: It is not drained; `files_left` says how many files need it.
        """
        async with self._database.session() as session:
            element = await self._locked(session, element_id)
            left = await holders.count_depending(session, element_id)
            if element.drain is not DrainState.DRAINED or left:
                raise ElementInUse(_not_drained(element, left), files_left=left)
            await repository.remove(session, element_id)
            details = {"url": element.url}
            deed = Deed(AuditKind.ELEMENT_REMOVED, element_id=element_id, details=details)
            await self._trail.record(session, who, deed)

    async def _find(self, element_id: str) -> StorageElement:
        async with self._database.session() as session:
            element = await repository.find(session, element_id)
        if element is None:
            raise UnknownElement
        return element

    async def _locked(self, session: AsyncSession, element_id: str) -> StorageElement:
        element = await repository.find_locked(session, element_id)
        if element is None:
            raise UnknownElement
        return element

    async def _info(self, element: StorageElement) -> ElementInfo | None:
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                return await self._client.info(element.url, STATUS_TIMEOUT_S)
        except (ArtStoreError, TimeoutError):
            return None


def _behind(element: StorageElement, info: ElementInfo | None) -> int | None:
    if info is None or info.feed_id != element.feed_id:
        return None
    return max(0, info.head_seq - element.position_seq)


def _not_drained(element: StorageElement, left: int) -> str:
    if element.drain is DrainState.OFF:
        return f"{left} files need {element.element_id}: drain it first"
    if left:
        return f"{left} files are still to be copied from {element.element_id} to others"
    return f"{element.element_id} is not known to be drained yet: try again in a few seconds"
