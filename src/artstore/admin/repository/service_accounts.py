"""Rows of `identity.service_accounts`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import ServiceAccount
from artstore.admin.tables import service_accounts


@dataclass(frozen=True)
class AccountWithSecret:
    """Hashes as `services.identity.machine_secrets` stores them."""

    account: ServiceAccount
    secret_hash: str
    previous_secret_hash: str | None


def _account(row: Row[Any]) -> ServiceAccount:
    return ServiceAccount.model_validate(row)


async def find(session: AsyncSession, client_id: str) -> AccountWithSecret | None:
    if "\0" in client_id:
        return None  # PostgreSQL cannot even be asked for it.
    statement = select(service_accounts).where(service_accounts.c.client_id == client_id)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    return AccountWithSecret(_account(row), row.secret_hash, row.previous_secret_hash)


async def oldest_secret(session: AsyncSession) -> datetime | None:
    """When the secret was changed that nobody changed for longest; of active accounts."""
    statement = select(func.min(service_accounts.c.secret_changed_at))
    oldest: datetime | None = await session.scalar(
        statement.where(service_accounts.c.state == "active")
    )
    return oldest


async def note_use(session: AsyncSession, client_id: str, now: datetime) -> None:
    statement = update(service_accounts).where(service_accounts.c.client_id == client_id)
    await session.execute(statement.values(last_used_at=now))


async def next_end(session: AsyncSession) -> datetime | None:
    """When the next account ends that may still sign in."""
    end = func.min(service_accounts.c.expires_at)
    is_open = service_accounts.c.expires_at > func.now()
    statement = select(end).where(is_open, service_accounts.c.state == "active")
    found: datetime | None = await session.scalar(statement)
    return found


async def page(session: AsyncSession, after: str, limit: int) -> list[ServiceAccount]:
    """Accounts behind client id `after`, in the order of their client ids."""
    statement = (
        select(service_accounts)
        .where(service_accounts.c.client_id > after)
        .order_by(service_accounts.c.client_id)
        .limit(limit)
    )
    return [_account(row) for row in await session.execute(statement)]


async def add(session: AsyncSession, account: ServiceAccount, secret_hash: str) -> bool:
    """Whether it was added; `False` when the client id is taken."""
    values = {**account.model_dump(), "secret_hash": secret_hash}
    statement = (
        postgresql.insert(service_accounts)
        .values(values)
        .on_conflict_do_nothing(index_elements=["client_id"])
        .returning(service_accounts.c.client_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def replace_secret(
    session: AsyncSession, client_id: str, secret_hash: str, now: datetime, overlap: timedelta
) -> ServiceAccount | None:
    """The account with its new secret; the one before stays good for `overlap`."""
    columns = service_accounts.c
    values = {
        "secret_hash": secret_hash,
        "secret_changed_at": now,
        "previous_secret_hash": columns.secret_hash if overlap else None,
        "previous_secret_until": now + overlap if overlap else None,
    }
    return await change(session, client_id, values)


async def change(
    session: AsyncSession, client_id: str, values: Mapping[str, object]
) -> ServiceAccount | None:
    """The account after the change; `None` when there is none."""
    statement = (
        update(service_accounts)
        .where(service_accounts.c.client_id == client_id)
        .values(**values)
        .returning(service_accounts)
    )
    row = (await session.execute(statement)).one_or_none()
    return _account(row) if row else None
