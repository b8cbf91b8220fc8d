"""The one row about the log, its keys and its checkpoints; and the lock of its one writer.

The writer's statements run on a connection of its own: whoever loses it loses the lock.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.audit_tables import checkpoints, log, log_keys
from artstore.admin.repository.catalogue_files import Connection
from artstore.core.database import Database

LOCK_KEY: Final = 0x4175_6469_744C_6F67
CHECKPOINTS_LOCK_KEY: Final = LOCK_KEY + 1
"""Advisory lock of PostgreSQL: of several instances one writes the log."""


class LogState(NamedTuple):
    origin: str
    size: int
    """Entries that the index has."""
    planned_size: int
    """Entries that the log may have."""


class StoredKey(NamedTuple):
    verifier_key: str
    signing_key: bytes
    """Sealed."""
    retired_at: datetime | None


_SAVE_CHECKPOINT: Final = """
INSERT INTO audit.checkpoints (size, note, signed_at, witnesses) VALUES (%s, %s, %s, %s)
ON CONFLICT (size) DO UPDATE SET note = excluded.note, witnesses = excluded.witnesses
WHERE checkpoints.witnesses <= excluded.witnesses
"""

# Of each hour that is over the newest, and the newest with as many witnesses as any had.
_THIN_OUT: Final = """
DELETE FROM audit.checkpoints AS old
WHERE signed_at < %(before)s AND EXISTS (
    SELECT FROM audit.checkpoints AS better
    WHERE date_trunc('hour', better.signed_at) = date_trunc('hour', old.signed_at)
      AND better.size > old.size AND better.witnesses >= old.witnesses
)
"""

_SAVE_WITNESS: Final = """
INSERT INTO audit.witnesses (name, size, cosigned_at) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET size = excluded.size, cosigned_at = excluded.cosigned_at
"""


async def try_to_lead(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,))
    row = await cursor.fetchone()
    return bool(row and row[0])


async def state(connection: Connection) -> LogState | None:
    cursor = await connection.execute("SELECT origin, size, planned_size FROM audit.log")
    row = await cursor.fetchone()
    return LogState(*row) if row else None


async def create(connection: Connection, origin: str) -> LogState:
    await connection.execute("INSERT INTO audit.log (origin) VALUES (%s)", (origin,))
    return LogState(origin, 0, 0)


async def plan(connection: Connection, planned_size: int) -> None:
    """Say how far the log is going to reach.

    A transaction of its own, and the point of it is the flush: what was read from the outbox
    may have been committed without one, and must not be lost once it is in the log.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = on")
        await connection.execute("UPDATE audit.log SET planned_size = %s", (planned_size,))


async def indexed(connection: Connection, size: int) -> None:
    await connection.execute(
        "UPDATE audit.log SET size = %s, planned_size = greatest(planned_size, %s)", (size, size)
    )


async def keys(connection: Connection) -> list[StoredKey]:
    """The newest first."""
    cursor = await connection.execute(
        "SELECT verifier_key, signing_key, retired_at FROM audit.log_keys"
        " ORDER BY created_at DESC, verifier_key"
    )
    return [StoredKey(row[0], bytes(row[1]), row[2]) for row in await cursor.fetchall()]


async def add_keys(connection: Connection, new: Sequence[tuple[str, bytes]], now: datetime) -> None:
    for verifier_key, signing_key in new:
        await connection.execute(
            "INSERT INTO audit.log_keys (verifier_key, signing_key, created_at)"
            " VALUES (%s, %s, %s)",
            (verifier_key, signing_key, now),
        )


async def retire_keys(session: AsyncSession, now: datetime) -> list[str]:
    """All that sign now; the writer makes new ones. Public keys of those that were retired."""
    retired = await session.execute(
        text(
            "UPDATE audit.log_keys SET retired_at = :now WHERE retired_at IS NULL"
            " RETURNING verifier_key"
        ),
        {"now": now},
    )
    return [row[0] for row in retired]


async def save_checkpoint(
    connection: Connection, size: int, note: bytes, now: datetime, *, witnesses: int
) -> None:
    """One with more cosignatures takes the place of one with fewer."""
    await connection.execute(_SAVE_CHECKPOINT, (size, note, now, witnesses))


async def lock_checkpoints(connection: Connection) -> None:
    """Until the end of the transaction: cosignatures come from several sides at once."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (CHECKPOINTS_LOCK_KEY,))


async def checkpoint_of(connection: Connection, size: int) -> bytes | None:
    cursor = await connection.execute("SELECT note FROM audit.checkpoints WHERE size = %s", (size,))
    row = await cursor.fetchone()
    return bytes(row[0]) if row else None


async def thin_out(connection: Connection, before: datetime) -> None:
    """Leave few of the checkpoints signed before that moment: exports carry all of them."""
    await connection.execute(_THIN_OUT, {"before": before})


async def origin(session: AsyncSession) -> str | None:
    found: str | None = await session.scalar(select(log.c.origin))
    return found


async def public_keys(session: AsyncSession) -> list[str]:
    """Also retired ones: what they signed still counts."""
    statement = select(log_keys.c.verifier_key).order_by(
        log_keys.c.created_at.desc(), log_keys.c.verifier_key
    )
    return list(await session.scalars(statement))


async def newest_checkpoint(session: AsyncSession, witnesses: int) -> bytes | None:
    """The largest state with so many cosignatures."""
    statement = (
        select(checkpoints.c.note)
        .where(checkpoints.c.witnesses >= witnesses)
        .order_by(checkpoints.c.size.desc())
        .limit(1)
    )
    note: bytes | None = await session.scalar(statement)
    return note


async def checkpoint_notes(
    session: AsyncSession, after_size: int, below_size: int, limit: int
) -> list[tuple[int, bytes]]:
    """Stored checkpoints by size, behind `after_size` and below `below_size`."""
    statement = (
        select(checkpoints.c.size, checkpoints.c.note)
        .where(checkpoints.c.size > after_size, checkpoints.c.size < below_size)
        .order_by(checkpoints.c.size)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in await session.execute(statement)]


async def witness_sizes(connection: Connection) -> dict[str, int]:
    """The largest state that each has cosigned."""
    cursor = await connection.execute("SELECT name, size FROM audit.witnesses")
    return {row[0]: int(row[1]) for row in await cursor.fetchall()}


async def save_witness(connection: Connection, name: str, size: int, now: datetime) -> None:
    await connection.execute(_SAVE_WITNESS, (name, size, now))


async def backlog(database: Database) -> int:
    """Events that are not in the log yet, about: it counts numbers, not rows."""
    rows = await database.ask(
        "SELECT coalesce(max(position) - min(position) + 1, 0) FROM audit.outbox"
    )
    return int(rows[0][0])


async def outbox_age_s(connection: Connection) -> float:
    """Of the oldest event that waits; 0 when none does."""
    cursor = await connection.execute(
        "SELECT extract(epoch FROM now() - at) FROM audit.outbox ORDER BY position LIMIT 1"
    )
    row = await cursor.fetchone()
    return max(0.0, float(row[0])) if row else 0.0


async def has_keys(connection: Connection) -> bool:
    """Whether any key signs now; none does after a rotation was ordered."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM audit.log_keys WHERE retired_at IS NULL)"
    )
    row = await cursor.fetchone()
    return bool(row and row[0])
