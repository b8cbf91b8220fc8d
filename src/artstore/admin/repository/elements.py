"""Rows of `catalogue.elements`, as the registry sees them."""

from collections.abc import Mapping

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import StorageElement
from artstore.core.catalogue import copies, elements, restores
from artstore.core.model.element import DrainState, ElementEntry


async def find(session: AsyncSession, element_id: str) -> StorageElement | None:
    statement = select(elements).where(elements.c.element_id == element_id)
    row = (await session.execute(statement)).one_or_none()
    return StorageElement.model_validate(row) if row else None


async def page(session: AsyncSession, after: str, limit: int) -> list[StorageElement]:
    """Elements behind `after`, in the order of their ids."""
    statement = (
        select(elements)
        .where(elements.c.element_id > after)
        .order_by(elements.c.element_id)
        .limit(limit)
    )
    return [StorageElement.model_validate(row) for row in await session.execute(statement)]


async def every(session: AsyncSession) -> list[StorageElement]:
    """All of them: an installation has tens, not thousands."""
    rows = await session.execute(select(elements).order_by(elements.c.element_id))
    return [StorageElement.model_validate(row) for row in rows]


async def add(session: AsyncSession, entry: ElementEntry) -> StorageElement | None:
    """The element; `None` when the id is taken."""
    statement = (
        postgresql.insert(elements)
        .values(**entry.model_dump())
        .on_conflict_do_nothing(index_elements=["element_id"])
        .returning(elements)
    )
    row = (await session.execute(statement)).one_or_none()
    return StorageElement.model_validate(row) if row else None


async def change(
    session: AsyncSession, element_id: str, values: Mapping[str, object]
) -> StorageElement | None:
    """The element after the change; `None` when there is none."""
    statement = (
        update(elements)
        .where(elements.c.element_id == element_id)
        .values(**values)
        .returning(elements)
    )
    row = (await session.execute(statement)).one_or_none()
    return StorageElement.model_validate(row) if row else None


async def change_drain(session: AsyncSession, element_id: str, state: DrainState) -> bool:
    """Whether it changed. What is not being drained at all stays so."""
    statement = (
        update(elements)
        .where(
            elements.c.element_id == element_id,
            elements.c.drain.not_in((state.value, DrainState.OFF.value)),
        )
        .values(drain=state.value)
        .returning(elements.c.element_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def find_locked(session: AsyncSession, element_id: str) -> StorageElement | None:
    """It stays as it is until the transaction ends."""
    statement = select(elements).where(elements.c.element_id == element_id).with_for_update()
    row = (await session.execute(statement)).one_or_none()
    return StorageElement.model_validate(row) if row else None


async def remove(session: AsyncSession, element_id: str) -> None:
    """It and its copies. Tombstones and missing files stay, so that they are not forgotten."""
    await session.execute(delete(restores).where(restores.c.element_id == element_id))
    await session.execute(delete(copies).where(copies.c.element_id == element_id))
    await session.execute(delete(elements).where(elements.c.element_id == element_id))
