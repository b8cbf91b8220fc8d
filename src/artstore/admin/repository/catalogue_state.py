"""Where files are, and how many. And the order to begin again."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.core.catalogue import copies, elements, files
from artstore.core.model.ids import FileId


@dataclass(frozen=True)
class Location:
    element_id: str
    url: str
    generation: int
    """Of the element: its latest listing."""


async def locate(session: AsyncSession, file_id: FileId) -> Location | None:
    statement = (
        select(elements.c.element_id, elements.c.url, elements.c.generation)
        .join(files, files.c.element_id == elements.c.element_id)
        .where(files.c.file_id == UUID(file_id))
    )
    row = (await session.execute(statement)).one_or_none()
    return Location(row.element_id, row.url, row.generation) if row else None


async def count_files(session: AsyncSession) -> dict[str, dict[str, int]]:
    """Files by element and state."""
    statement = select(files.c.element_id, files.c.state, func.count().label("number")).group_by(
        files.c.element_id, files.c.state
    )
    counts: dict[str, dict[str, int]] = {}
    for row in await session.execute(statement):
        counts.setdefault(row.element_id, {})[row.state] = row.number
    return counts


async def order_rebuild(session: AsyncSession, *, from_scratch: bool) -> None:
    """Every element is listed again. Its follower notices: the number of rebuilds changed.

    The elements come first and the files second, in the order in which followers lock them.
    """
    await session.execute(
        update(elements).values(
            state="new",
            rebuilds=elements.c.rebuilds + 1,
            listing_after=None,
            listing_started_at=None,
            complete_until=None,
            trouble=None,
        )
    )
    if from_scratch:
        await session.execute(text(f"TRUNCATE {files.fullname}"))
        # What an element found damaged it says once; its listing does not know.
        await session.execute(delete(copies).where(copies.c.state != "damaged"))
