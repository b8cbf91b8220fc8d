"""Events on their way into the log (`audit.outbox`) and those in it (`audit.events`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Select, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.audit_tables import events, outbox
from artstore.admin.repository.catalogue_files import Connection
from artstore.core.catalogue import files
from artstore.core.model.audit import AuditKind, Outcome


class EventRow(NamedTuple):
    """One event in the order of `COPY`."""

    event_id: UUID
    at: datetime
    kind: str
    outcome: str
    person: str | None
    account: str | None
    file_id: UUID | None
    collection: str | None
    element_id: str | None
    entry: bytes
    facts: bytes | None


class LoggedEvent(NamedTuple):
    log_index: int
    at: datetime
    entry: bytes
    facts: bytes | None


@dataclass(frozen=True)
class EventFilter:
    """`None` does not narrow. `since` counts in, `until` does not."""

    since: datetime | None = None
    until: datetime | None = None
    kind: str | None = None
    outcome: str | None = None
    person: str | None = None
    account: str | None = None
    file_id: UUID | None = None
    collection: str | None = None
    element_id: str | None = None


_COLUMNS: Final = ", ".join(EventRow._fields)
_TYPES: Final = (
    "uuid", "timestamptz", "text", "text", "text", "text", "uuid", "text", "text", "bytea", "bytea",
)  # fmt: skip

_STAGING: Final = f"""
CREATE TEMP TABLE IF NOT EXISTS incoming_events ON COMMIT DELETE ROWS
AS SELECT {_COLUMNS} FROM audit.outbox WITH NO DATA
"""  # noqa: S608
_COPY: Final = f"COPY incoming_events ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_TAKE_IN: Final = f"""
INSERT INTO audit.outbox ({_COLUMNS}) SELECT {_COLUMNS} FROM incoming_events
ON CONFLICT (event_id) DO NOTHING
"""  # noqa: S608
_OLDEST: Final = "SELECT event_id, entry FROM audit.outbox ORDER BY position LIMIT %s"
# An event has one id for good, but may come again after it was logged: told twice by a module
# that had no answer, or by a feed after the database was put back. Only the one writer of the log
# can tell without a race.
_DROP_KNOWN: Final = """
WITH known AS (SELECT event_id FROM audit.events WHERE event_id = ANY(%s)),
dropped AS (DELETE FROM audit.outbox USING known WHERE outbox.event_id = known.event_id)
SELECT event_id FROM known
"""
# `ids` are in the order of the log, so the first one stands at `first`.
_MOVE: Final = f"""
WITH logged AS (
    SELECT event_id, %(first)s + place - 1 AS log_index
    FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS listed (event_id, place)
), taken AS (
    DELETE FROM audit.outbox USING logged WHERE outbox.event_id = logged.event_id
    RETURNING logged.log_index, {", ".join(f"outbox.{name}" for name in EventRow._fields)}
)
INSERT INTO audit.events (log_index, {_COLUMNS})
SELECT log_index, {_COLUMNS} FROM taken ON CONFLICT DO NOTHING
"""  # noqa: S608


async def add(session: AsyncSession, row: EventRow) -> None:
    """Into the outbox, in the session's transaction."""
    await add_all(session, [row])


async def add_all(session: AsyncSession, rows: Sequence[EventRow]) -> None:
    statement = insert(outbox).on_conflict_do_nothing(index_elements=["event_id"])
    await session.execute(statement.values([row._asdict() for row in rows]))


async def add_many(connection: Connection, rows: Iterable[EventRow]) -> None:
    """Into the outbox, in the connection's transaction. Those that wait there are left out."""
    await connection.execute(_STAGING)
    await connection.execute("DELETE FROM incoming_events")
    async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for row in rows:
            await copy.write_row(row)
    await connection.execute(_TAKE_IN)


async def oldest(connection: Connection, limit: int) -> list[tuple[UUID, bytes]]:
    """What waits longest, by id and entry, and is not in the log yet."""
    # As text, the entries would travel as hexadecimal digits.
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_OLDEST, (limit,))
        waiting: list[tuple[UUID, bytes]] = await cursor.fetchall()
    if not waiting:
        return []
    cursor = await connection.execute(_DROP_KNOWN, ([event_id for event_id, _ in waiting],))
    known = {row[0] for row in await cursor.fetchall()}
    return [item for item in waiting if item[0] not in known]


async def move(connection: Connection, first: int, ids: Sequence[UUID]) -> int:
    """From the outbox into the index, from log index `first` on. How many there were."""
    cursor = await connection.execute(_MOVE, {"first": first, "ids": list(ids)})
    return cursor.rowcount


async def page(
    session: AsyncSession, wanted: EventFilter, after: tuple[datetime, int] | None, limit: int
) -> list[LoggedEvent]:
    """The newest first, behind the event of time and index `after`."""
    statement = _narrowed(wanted).order_by(events.c.at.desc(), events.c.log_index.desc())
    if after is not None:
        statement = statement.where(tuple_(events.c.at, events.c.log_index) < tuple_(*after))
    return _logged(await session.execute(statement.limit(limit)))


async def history(
    session: AsyncSession,
    file_id: UUID,
    after: int = -1,
    limit: int | None = None,
    *,
    without: AuditKind | None = None,
) -> list[LoggedEvent]:
    """Events of a file behind the log index `after`, in the order of the log."""
    statement = _narrowed(EventFilter(file_id=file_id)).where(events.c.log_index > after)
    if without is not None:
        statement = statement.where(events.c.kind != without.value)
    return _logged(await session.execute(statement.order_by(events.c.log_index).limit(limit)))


async def record_of(session: AsyncSession, file_id: UUID) -> bytes | None:
    """The attr.json of a file, or its tombstone, byte for byte."""
    record: bytes | None = await session.scalar(
        select(files.c.record).where(files.c.file_id == file_id)
    )
    return record


async def by_index(session: AsyncSession, log_index: int) -> LoggedEvent | None:
    statement = _narrowed(EventFilter()).where(events.c.log_index == log_index)
    return next(iter(_logged(await session.execute(statement))), None)


async def by_id(session: AsyncSession, event_id: UUID) -> LoggedEvent | None:
    statement = _narrowed(EventFilter()).where(events.c.event_id == event_id)
    return next(iter(_logged(await session.execute(statement))), None)


async def facts_of(session: AsyncSession, ids: Sequence[str]) -> dict[str, bytes]:
    """What opens the commitments of these events, where it was not erased."""
    statement = select(events.c.event_id, events.c.facts).where(
        events.c.event_id.in_([UUID(event_id) for event_id in ids]), events.c.facts.is_not(None)
    )
    return {str(row[0]): row[1] for row in await session.execute(statement)}


def _narrowed(wanted: EventFilter) -> Select[Any]:
    statement = select(events.c.log_index, events.c.at, events.c.entry, events.c.facts)
    for name in ("kind", "outcome", "person", "account", "file_id", "collection", "element_id"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(events.c[name] == value)
    if wanted.outcome not in (None, Outcome.SUCCEEDED):
        # Said once more as the index of trouble says it, or PostgreSQL does not see that it fits.
        statement = statement.where(text("outcome <> 'succeeded'"))
    if wanted.since is not None:
        statement = statement.where(events.c.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(events.c.at < wanted.until)
    return statement


def _logged(result: Any) -> list[LoggedEvent]:
    return [LoggedEvent(*row) for row in result]
