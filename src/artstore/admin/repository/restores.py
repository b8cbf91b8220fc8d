"""Rows of `catalogue.restores`: copies of archived files, and until when they can be read. Times
are the database's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.core.catalogue import restores
from artstore.core.model.restored import RestoredCopy


@dataclass(frozen=True, slots=True)
class RestoredFile:
    file_id: UUID
    element_id: str
    expires_at: datetime


# A step that is done again finds the same copy, which was noted before.
_NOTE: Final = text("""
INSERT INTO catalogue.restores AS known
    (file_id, element_id, source_id, restored_at, expires_at)
VALUES (:file_id, :element_id, :source_id, :restored_at, :expires_at)
ON CONFLICT (file_id) DO UPDATE
SET element_id = excluded.element_id, source_id = excluded.source_id,
    restored_at = excluded.restored_at, expires_at = excluded.expires_at
WHERE (known.element_id, known.expires_at) <> (excluded.element_id, excluded.expires_at)
RETURNING file_id
""")


async def note(session: AsyncSession, element_id: str, copy: RestoredCopy) -> bool:
    """False: this very copy was noted before."""
    values = {
        "file_id": UUID(copy.file_id),
        "element_id": element_id,
        "source_id": copy.restored_from,
        "restored_at": copy.restored_at,
        "expires_at": copy.expires_at,
    }
    return (await session.execute(_NOTE, values)).one_or_none() is not None


async def readable(session: AsyncSession, file_id: UUID) -> RestoredFile | None:
    """The copy, as long as its time is not over."""
    statement = select(restores).where(
        restores.c.file_id == file_id, restores.c.expires_at > func.now()
    )
    row = (await session.execute(statement)).one_or_none()
    return RestoredFile(row.file_id, row.element_id, row.expires_at) if row else None


async def over(session: AsyncSession, besides: Sequence[str], limit: int) -> list[RestoredFile]:
    """Copies whose time is over. `besides`: not on these elements."""
    statement = (
        select(restores)
        .where(restores.c.expires_at <= func.now(), restores.c.element_id.not_in(besides))
        .order_by(restores.c.expires_at)
        .limit(limit)
    )
    rows = await session.execute(statement)
    return [RestoredFile(row.file_id, row.element_id, row.expires_at) for row in rows]


async def next_end_s(session: AsyncSession) -> float | None:
    """Seconds until the time of the next copy is over; `None`: there is none."""
    ends = func.extract("epoch", func.min(restores.c.expires_at) - func.now())
    seconds: float | None = (await session.execute(select(ends))).scalar_one()
    return seconds if seconds is None else float(seconds)


async def forget(session: AsyncSession, file: RestoredFile) -> None:
    """Unless the file was restored anew meanwhile."""
    await session.execute(
        delete(restores).where(
            restores.c.file_id == file.file_id, restores.c.expires_at == file.expires_at
        )
    )
