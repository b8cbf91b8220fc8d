"""Rows of `policy.collections`."""

from typing import Any

from sqlalchemy import cast, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.work_tables import collections
from artstore.core.model.admission import Admission
from artstore.core.model.collection import Collection, CollectionChange, CollectionEntry


async def find(session: AsyncSession, name: str) -> Collection | None:
    statement = select(collections).where(collections.c.collection == name)
    row = (await session.execute(statement)).one_or_none()
    return Collection.model_validate(row) if row else None


async def page(session: AsyncSession, after: str, limit: int) -> list[Collection]:
    """Behind `after`, in the order of their names."""
    statement = (
        select(collections)
        .where(collections.c.collection > after)
        .order_by(collections.c.collection)
        .limit(limit)
    )
    return [Collection.model_validate(row) for row in await session.execute(statement)]


async def add(session: AsyncSession, entry: CollectionEntry) -> Collection | None:
    """`None` when the name is taken."""
    statement = (
        postgresql.insert(collections)
        .values(**entry.model_dump(exclude={"admission"}), admission=_stored(entry.admission))
        .on_conflict_do_nothing(index_elements=["collection"])
        .returning(collections)
    )
    row = (await session.execute(statement)).one_or_none()
    return Collection.model_validate(row) if row else None


async def change(session: AsyncSession, name: str, change: CollectionChange) -> Collection | None:
    """`None` when there is none."""
    values: dict[str, Any] = change.model_dump(exclude={"admission"}, exclude_none=True)
    if change.admission is not None:
        given = change.admission.model_dump(mode="json", exclude_unset=True)
        values["admission"] = collections.c.admission.op("||")(cast(given, JSONB))
    statement = (
        update(collections)
        .where(collections.c.collection == name)
        .values(**values, updated_at=func.now())
        .returning(collections)
    )
    row = (await session.execute(statement)).one_or_none()
    return Collection.model_validate(row) if row else None


def _stored(admission: Admission) -> dict[str, Any]:
    return admission.model_dump(mode="json", exclude_defaults=True)
