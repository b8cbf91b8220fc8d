"""Rows of `identity.sessions`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import PersonSession
from artstore.admin.tables import sessions


@dataclass(frozen=True)
class StoredSession:
    shown: PersonSession
    refresh_key: bytes
    """Encrypted."""
    refresh_number: int


async def add(session: AsyncSession, stored: StoredSession) -> None:
    values = {
        **stored.shown.model_dump(),
        "methods": sorted(stored.shown.methods),
        "refresh_key": stored.refresh_key,
        "refresh_number": stored.refresh_number,
    }
    await session.execute(insert(sessions).values(values))


async def locked(session: AsyncSession, session_id: UUID) -> StoredSession | None:
    """One that has not ended, held against others until the transaction ends."""
    statement = (
        select(sessions)
        .where(sessions.c.session_id == session_id, sessions.c.ended_at.is_(None))
        .with_for_update()
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    return StoredSession(PersonSession.model_validate(row), row.refresh_key, row.refresh_number)


async def of_user(session: AsyncSession, user_id: UUID, now: datetime) -> list[PersonSession]:
    statement = (
        select(sessions)
        .where(
            sessions.c.user_id == user_id,
            sessions.c.ended_at.is_(None),
            sessions.c.ends_at > now,
        )
        .order_by(sessions.c.created_at)
    )
    return [PersonSession.model_validate(row) for row in await session.execute(statement)]


async def refreshed(session: AsyncSession, session_id: UUID, number: int, now: datetime) -> None:
    statement = update(sessions).where(sessions.c.session_id == session_id)
    await session.execute(statement.values(refresh_number=number, last_used_at=now))


async def proven_again(
    session: AsyncSession, session_id: UUID, methods: list[str], now: datetime
) -> None:
    statement = update(sessions).where(sessions.c.session_id == session_id)
    await session.execute(statement.values(methods=methods, authenticated_at=now))


async def end(session: AsyncSession, session_id: UUID, now: datetime) -> bool:
    """Whether it had not ended before."""
    statement = (
        update(sessions)
        .where(sessions.c.session_id == session_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now)
        .returning(sessions.c.session_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def end_all(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    statement = update(sessions).where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None))
    await session.execute(statement.values(ended_at=now))
