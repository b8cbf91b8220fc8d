"""Collections and what is asked for their files."""

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import collections as repository
from artstore.admin.repository import jobs
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.core.clock import Clock
from artstore.core.errors import NameTaken, UnknownCollection
from artstore.core.model.account import Caller, Right
from artstore.core.model.audit import AuditKind, Target
from artstore.core.model.collection import Collection, CollectionChange, CollectionEntry

KEEP_COLLECTION = "copies.collection"
"""Kind of the job that looks at every file of a collection; its key is the name."""


class Collections:
    def __init__(self, session: AsyncSession, audit: BoundTrail, clock: Clock) -> None:
        """`audit` writes in the transaction of `session`."""
        self._session = session
        self._clock = clock
        self._audit = audit

    async def page(self, after: str, limit: int) -> list[Collection]:
        return await repository.page(self._session, after, limit)

    async def get(self, name: str) -> Collection:
        """Raises `UnknownCollection`, also when files are in it: then it has the defaults."""
        collection = await repository.find(self._session, name)
        if collection is None:
            raise UnknownCollection
        return collection

    async def add(self, entry: CollectionEntry, caller: Caller) -> Collection:
        """
        Raises:
            NameTaken: There is one of this name.
            NotPermitted: The caller manages some collections, and not this one.
        """
        caller.check(Right.MANAGE, entry.collection, self._clock.now())
        collection = await repository.add(self._session, entry)
        if collection is None:
            raise NameTaken(f"there is a collection {entry.collection}")
        await self._changed(collection)
        return collection

    async def change(self, name: str, change: CollectionChange, caller: Caller) -> Collection:
        """A second copy that is not asked for any more is not removed.

        Raises:
            UnknownCollection: It has no rules of its own.
            NotPermitted: The caller manages some collections, and not this one.
        """
        caller.check(Right.MANAGE, name, self._clock.now())
        if not change.model_dump(exclude_none=True):
            return await self.get(name)
        collection = await repository.change(self._session, name, change)
        if collection is None:
            raise UnknownCollection
        await self._changed(collection)
        return collection

    async def _changed(self, collection: Collection) -> None:
        name = collection.collection
        if collection.copies > 1:
            await jobs.wake(self._session, KEEP_COLLECTION, name)
        details = {
            "copies": collection.copies,
            "title": collection.title,
            "admission": collection.admission.model_dump(mode="json", exclude_defaults=True),
        }
        target = Target(type="collection", id=name)
        await self._audit.record(Deed(AuditKind.COLLECTION_CHANGED, target=target, details=details))
