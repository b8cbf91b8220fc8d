"""Rows of `identity.revocations`, and the epochs that they raise."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.tables import revocations, service_accounts, users
from artstore.core.database import Database
from artstore.core.revocation import Revocation

_LOCK = 0x4172_7453_5265_766F
"""Advisory lock, held until the transaction ends: rows become visible in the order of their seq,
so whoever read up to one has all before it."""
_NUMBER_OF_NOW = text(
    "SELECT setval('identity.revocations_seq_seq', greatest(last_value,"
    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)) FROM identity.revocations_seq_seq"
)
"""The next number is the microsecond, so a database that was put back to an earlier day gives none
a second time: whoever follows by number would pass over what is revoked then."""

_FIELDS: Final = tuple(Revocation.model_fields)
_BEYOND: Final = f"""
SELECT {", ".join(_FIELDS)} FROM identity.revocations
WHERE seq > %s AND ends_at > %s ORDER BY seq
"""  # noqa: S608


async def add(session: AsyncSession, values: Mapping[str, object]) -> None:
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    await session.execute(_NUMBER_OF_NOW)
    await session.execute(insert(revocations).values(**values))


async def beyond(database: Database, seq: int, now: datetime) -> list[Revocation]:
    """Those behind `seq` that still concern any token, in their order. Also of a database that
    hangs: this is how one notices when it does no more."""
    rows = await database.ask(_BEYOND, (seq, now), watching=True)
    return [Revocation(**dict(zip(_FIELDS, row, strict=True))) for row in rows]


async def forget(session: AsyncSession, ended_before: datetime) -> None:
    await session.execute(delete(revocations).where(revocations.c.ends_at < ended_before))


async def raise_epoch(session: AsyncSession, subject: str) -> int | None:
    """The new epoch of a person or account; `None` when there is none."""
    kind, _, identifier = subject.partition(":")
    tables = {
        "user": (users, users.c.user_id),
        "account": (service_accounts, service_accounts.c.account_id),
    }
    try:
        table, column = tables[kind]
        key = UUID(identifier)
    except (KeyError, ValueError):
        return None
    statement = (
        update(table)
        .where(column == key)
        .values(token_epoch=table.c.token_epoch + 1)
        .returning(table.c.token_epoch)
    )
    epoch: int | None = await session.scalar(statement)
    return epoch
