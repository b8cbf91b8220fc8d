"""Rows of `identity.used_tickets`: what was good once, until it would have ended anyway."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.tables import used_tickets


async def use(session: AsyncSession, digest: bytes, ends_at: datetime, now: datetime) -> bool:
    """Whether this is the first time."""
    await session.execute(delete(used_tickets).where(used_tickets.c.ends_at < now))
    statement = (
        postgresql.insert(used_tickets)
        .values(digest=digest, ends_at=ends_at)
        .on_conflict_do_nothing(index_elements=["digest"])
        .returning(used_tickets.c.digest)
    )
    return (await session.execute(statement)).one_or_none() is not None
