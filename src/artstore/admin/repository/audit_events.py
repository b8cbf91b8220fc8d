"""Events on their way into the log (`audit.outbox`) and those in it (`audit.events`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Select, insert, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.audit_tables import events, outbox
from artstore.admin.repository import binary_copy
from artstore.admin.repository.catalogue_files import Connection
from artstore.core.catalogue import files
from artstore.core.errors import InternalError
from artstore.core.model.audit import AuditKind, Outcome


class EventRow(NamedTuple):
    """One event, in the order of the columns."""

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

_COPY: Final = f"COPY audit.outbox ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
# An event has one id for good, but may come again: told twice by a module that had no answer, or
# by a feed after the database was put back. Only the one writer of the log can tell without a
# race. A scalar subquery: a join could be planned as a walk through all events.
_OLDEST: Final = """
SELECT position, uuid_send(event_id), entry,
    (SELECT true FROM audit.events WHERE events.event_id = outbox.event_id LIMIT 1)
FROM audit.outbox ORDER BY position LIMIT %s
"""
_DROP: Final = "DELETE FROM audit.outbox WHERE position = ANY(%s::bigint[])"
# `positions` are in the order of the log, so the first one stands at `first`.
_MOVE: Final = f"""
WITH logged AS (
    SELECT position, %(first)s + place - 1 AS log_index
    FROM unnest(%(positions)s::bigint[]) WITH ORDINALITY AS listed (position, place)
), taken AS (
    DELETE FROM audit.outbox USING logged WHERE outbox.position = logged.position
    RETURNING logged.log_index, {", ".join(f"outbox.{name}" for name in EventRow._fields)}
)
INSERT INTO audit.events (log_index, {_COLUMNS}) SELECT log_index, {_COLUMNS} FROM taken
"""  # noqa: S608
_INDEX: Final = f"""
INSERT INTO audit.events (log_index, {_COLUMNS})
VALUES (%s, {", ".join(["%s"] * len(EventRow._fields))}) ON CONFLICT DO NOTHING
"""  # noqa: S608
# Locked, so that facts that are being erased do not come back. Of the same entry only: a feed that
# tells an event again salts its facts anew, and those open nothing that was logged.
_KEEP_FACTS: Final = """
WITH waiting AS (
    SELECT event_id, entry, facts FROM audit.outbox WHERE event_id = ANY(%s) FOR UPDATE
)
UPDATE audit.events SET facts = waiting.facts FROM waiting
WHERE waiting.event_id = events.event_id AND waiting.entry = events.entry
"""


class Batch(NamedTuple):
    """The oldest events of the outbox, and where they stand in it."""

    positions: list[int]
    entries: list[bytes]


async def add(session: AsyncSession, row: EventRow) -> None:
    """Into the outbox, in the session's transaction."""
    await add_all(session, [row])


async def add_all(session: AsyncSession, rows: Sequence[EventRow]) -> None:
    await session.execute(insert(outbox).values([row._asdict() for row in rows]))


async def add_many(connection: Connection, rows: Iterable[EventRow]) -> None:
    """Into the outbox, in the connection's transaction."""
    await add_copied(connection, map(copied, rows))


async def add_copied(connection: Connection, rows: Iterable[bytes]) -> None:
    """As `add_many`. Args: `rows`: from `copied`."""
    await binary_copy.copy_in(connection, _COPY, rows)


def copied(row: EventRow) -> bytes:
    """As `COPY` takes it."""
    return binary_copy.row(
        binary_copy.identifier(row.event_id),
        binary_copy.moment(row.at),
        binary_copy.name(row.kind),
        binary_copy.name(row.outcome),
        binary_copy.name(row.person),
        binary_copy.name(row.account),
        binary_copy.identifier(row.file_id),
        binary_copy.name(row.collection),
        binary_copy.name(row.element_id),
        binary_copy.data(row.entry),
        binary_copy.NULL if row.facts is None else binary_copy.data(row.facts),
    )


async def oldest(connection: Connection, limit: int) -> Batch:
    """What waits longest and is not in the log yet. What is there already, or comes twice, is
    dropped on the way."""
    # As text, the entries would travel as hexadecimal digits.
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_OLDEST, (limit,))
        waiting: list[tuple[int, bytes, bytes, bool | None]] = await cursor.fetchall()
    told: set[bytes] = set()
    batch, again = Batch([], []), []
    for position, event_id, entry, known in waiting:
        if known or event_id in told:
            again.append(position)
            continue
        told.add(event_id)
        batch.positions.append(position)
        batch.entries.append(entry)
    if again:
        await connection.execute(_DROP, (_numbers(again),))
    return batch


async def move(connection: Connection, first: int, positions: Sequence[int]) -> None:
    """From the outbox into the index, from log index `first` on. In the caller's transaction.

    Raises:
        InternalError: Some are not there any more.
    """
    values = {"first": first, "positions": _numbers(positions)}
    cursor = await connection.execute(_MOVE, values)
    if cursor.rowcount != len(positions):
        raise InternalError("events left the outbox while they were logged")


async def index(connection: Connection, first: int, rows: Sequence[EventRow]) -> None:
    """What the log has from `first` on and the index has not. Facts come from the outbox, if the
    event still waits there; `oldest` drops it then."""
    async with connection.cursor() as cursor:
        await cursor.executemany(_INDEX, [(first + n, *row) for n, row in enumerate(rows)])
    await connection.execute(_KEEP_FACTS, ([row.event_id for row in rows],))


def _numbers(values: Iterable[int]) -> str:
    """An array as PostgreSQL reads it: the driver would look at each number on its own."""
    return f"{{{','.join(map(str, values))}}}"


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
