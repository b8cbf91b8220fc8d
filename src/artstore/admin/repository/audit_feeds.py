"""How far the changes of each element have become events, and who asked for them.

All statements run on the follower's connection, in its transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.audit_tables import intents
from artstore.admin.repository.catalogue_files import Connection


class Intent(NamedTuple):
    """Somebody asked for a change of a file or an element and may have got it."""

    intent_id: int
    correlation_id: str
    file_id: UUID | None
    kind: str
    actor: bytes
    """JSON of `Actor`."""
    facts: bytes
    """JSON: personal facts by field."""


_SEQ: Final = """
SELECT seq FROM audit.feeds WHERE element_id = %s AND feed_id = %s FOR UPDATE
"""
_OTHER_FEED: Final = """
SELECT feed_id, seq FROM audit.feeds WHERE element_id = %s AND feed_id <> %s
ORDER BY since DESC LIMIT 1
"""
_SAVE: Final = """
INSERT INTO audit.feeds (element_id, feed_id, seq, since) VALUES (%s, %s, %s, %s)
ON CONFLICT (element_id, feed_id) DO UPDATE SET seq = excluded.seq
"""
_INTENTS: Final = """
SELECT intent_id, correlation_id, file_id, kind, actor, facts FROM audit.intents
WHERE correlation_id = ANY(%s) ORDER BY intent_id
"""
_FULFIL: Final = "DELETE FROM audit.intents WHERE intent_id = ANY(%s)"
_FORGET_DONE: Final = "DELETE FROM audit.intents WHERE asked_at < %s AND done"
_UNCLEAR: Final = """
DELETE FROM audit.intents WHERE asked_at < %s AND NOT done
RETURNING intent_id, correlation_id, file_id, kind, actor, facts
"""


async def seq(connection: Connection, element_id: str, feed_id: str) -> int | None:
    """The last change of this history that has its event; `None`: none was taken over yet."""
    cursor = await connection.execute(_SEQ, (element_id, feed_id))
    row = await cursor.fetchone()
    return int(row[0]) if row else None


async def other_feed(
    connection: Connection, element_id: str, feed_id: str
) -> tuple[str, int] | None:
    """The history that the element told before this one."""
    cursor = await connection.execute(_OTHER_FEED, (element_id, feed_id))
    row = await cursor.fetchone()
    return (row[0], int(row[1])) if row else None


async def save(
    connection: Connection, element_id: str, feed_id: str, seq: int, now: datetime
) -> None:
    await connection.execute(_SAVE, (element_id, feed_id, seq, now))


async def intents_of(connection: Connection, correlation_ids: Sequence[str]) -> list[Intent]:
    """In the order they were asked."""
    async with connection.cursor(row_factory=class_row(Intent)) as cursor:
        await cursor.execute(_INTENTS, (list(correlation_ids),))
        return await cursor.fetchall()


async def fulfil(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute(_FULFIL, (list(ids),))


async def forget_done(connection: Connection, before: datetime) -> None:
    """Intents whose element said yes and never told of a change: it changed nothing."""
    await connection.execute(_FORGET_DONE, (before,))


async def take_unclear(connection: Connection, before: datetime) -> list[Intent]:
    """Intents of which no feed ever told, and no element has confirmed them either."""
    async with connection.cursor(row_factory=class_row(Intent)) as cursor:
        await cursor.execute(_UNCLEAR, (before,))
        return await cursor.fetchall()


async def ask(session: AsyncSession, values: dict[str, object]) -> int:
    """Write down that somebody asks. The id of the intent."""
    made = await session.execute(insert(intents).values(values).returning(intents.c.intent_id))
    return int(made.scalar_one())


async def done(session: AsyncSession, intent_id: int) -> None:
    """The element has done it; its feed will say so."""
    await session.execute(update(intents).where(intents.c.intent_id == intent_id).values(done=True))


async def withdraw(session: AsyncSession, intent_id: int) -> None:
    """The element has refused."""
    await session.execute(delete(intents).where(intents.c.intent_id == intent_id))
