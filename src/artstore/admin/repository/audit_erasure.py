"""Destroys what opens the commitments of audit events. The events themselves stay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from artstore.admin.repository.catalogue_files import Connection


@dataclass(frozen=True)
class Erasing:
    """Of which events; `None` does not narrow."""

    person: str | None = None
    account: str | None = None
    file_id: UUID | None = None
    event_ids: Sequence[UUID] | None = None
    until: datetime | None = None


BATCH_EVENTS: Final = 2000
_CONDITIONS: Final = {
    "person": "person = %(person)s",
    "account": "account = %(account)s",
    "file_id": "file_id = %(file_id)s",
    "event_ids": "event_id = ANY(%(event_ids)s)",
    "until": "at < %(until)s",
}
# Those who asked an element, before its feed has told: the event will take their facts from here.
_INTENT_CONDITIONS: Final = {
    "person": "convert_from(actor, 'UTF8')::json ->> 'person' = %(person)s",
    "account": "convert_from(actor, 'UTF8')::json ->> 'account' = %(account)s",
    "file_id": "file_id = %(file_id)s",
    "event_ids": "false",
    "until": "asked_at < %(until)s",
}
_SELECT_INTENTS: Final = "SELECT intent_id, facts FROM audit.intents WHERE {} FOR UPDATE"
_UPDATE_INTENT: Final = "UPDATE audit.intents SET facts = %s WHERE intent_id = %s"
# Locked, so that none of those that wait can move into the log with its facts meanwhile.
_SELECT: Final = "SELECT event_id, facts FROM audit.{} WHERE facts IS NOT NULL AND {} FOR UPDATE"
_UPDATE: Final = "UPDATE audit.{} SET facts = %s WHERE event_id = %s"


async def erase(
    connection: Connection, erasing: Erasing, rest_of: Callable[[bytes], bytes | None]
) -> int:
    """In the connection's transaction. How many events lost something.

    Args:
        rest_of: Facts in, what stays of them out.
    """
    values = {name: value for name, value in vars(erasing).items() if value is not None}
    narrowed = " AND ".join(_CONDITIONS[name] for name in values)
    # Those that wait come first: what moves on in between is found where it went.
    await _erase_intents(connection, values, rest_of)
    erased = 0
    for table in ("outbox", "events"):
        async with connection.cursor(f"erasing_{table}") as found:
            await found.execute(_SELECT.format(table, narrowed), values)
            while rows := await found.fetchmany(BATCH_EVENTS):
                changed = _changed(rows, rest_of)
                async with connection.cursor() as writing:
                    await writing.executemany(_UPDATE.format(table), changed)
                erased += len(changed)
    return erased


async def _erase_intents(
    connection: Connection, values: Mapping[str, Any], rest_of: Callable[[bytes], bytes | None]
) -> None:
    narrowed = " AND ".join(_INTENT_CONDITIONS[name] for name in values)
    cursor = await connection.execute(_SELECT_INTENTS.format(narrowed), values)
    changed = _changed(await cursor.fetchall(), rest_of)
    await cursor.executemany(_UPDATE_INTENT, [(rest or b"{}", key) for rest, key in changed])


def _changed(
    rows: Sequence[Any], rest_of: Callable[[bytes], bytes | None]
) -> list[tuple[bytes | None, Any]]:
    pairs = [(rest_of(bytes(facts)), bytes(facts), key) for key, facts in rows]
    return [(rest, key) for rest, facts, key in pairs if rest != facts]
