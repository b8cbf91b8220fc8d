"""The registry of storage elements."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import StorageElement
from artstore.admin.repository import elements as repository
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.core.errors import InternalError, NameTaken, UnknownElement
from artstore.core.model.audit import AuditKind
from artstore.core.model.element import ElementEntry


class Registry:
    def __init__(self, session: AsyncSession, audit: BoundTrail | None = None) -> None:
        """`audit` writes in the transaction of `session`; who only reads needs none."""
        self._session = session
        self._audit = audit

    async def add(self, entry: ElementEntry) -> StorageElement:
        """The catalogue begins to follow it within a second or two.

        Raises:
            NameTaken: There is an element of this id.
        """
        element = await repository.add(self._session, entry)
        if element is None:
            raise NameTaken(f"there is a storage element {entry.element_id}")
        await self._record(AuditKind.ELEMENT_REGISTERED, element)
        return element

    async def get(self, element_id: str) -> StorageElement:
        element = await repository.find(self._session, element_id)
        if element is None:
            raise UnknownElement
        return element

    async def page(self, after: str, limit: int) -> list[StorageElement]:
        return await repository.page(self._session, after, limit)

    async def every(self) -> list[StorageElement]:
        return await repository.every(self._session)

    async def change(self, element_id: str, values: Mapping[str, object]) -> StorageElement:
        if not values:
            return await self.get(element_id)
        element = await repository.change(self._session, element_id, values)
        if element is None:
            raise UnknownElement
        await self._record(AuditKind.ELEMENT_CHANGED, element)
        return element

    async def _record(self, kind: AuditKind, element: StorageElement) -> None:
        if self._audit is None:
            raise InternalError("the registry was opened for reading")
        details = {"url": element.url, "priority": element.priority}
        await self._audit.record(Deed(kind, element_id=element.element_id, details=details))
