"""Rows of `audit.receipt_keys`. They are never changed and never removed."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.audit_tables import receipt_keys
from artstore.core.audit.receipts import PublicReceiptKey


class ReceiptKeyRow(NamedTuple):
    key: PublicReceiptKey
    event_id: UUID


async def add(session: AsyncSession, row: dict[str, Any]) -> bool:
    """Whether it was new."""
    statement = insert(receipt_keys).values(row).on_conflict_do_nothing()
    added = await session.execute(statement.returning(receipt_keys.c.kid))
    return added.scalar() is not None


async def find(session: AsyncSession, kid: str) -> ReceiptKeyRow | None:
    found = await session.execute(select(receipt_keys).where(receipt_keys.c.kid == kid))
    row = found.one_or_none()
    return _row(row) if row is not None else None


async def every(session: AsyncSession) -> list[PublicReceiptKey]:
    """The oldest first."""
    order = (receipt_keys.c.created_at, receipt_keys.c.kid)
    return [_row(row).key for row in await session.execute(select(receipt_keys).order_by(*order))]


def _row(row: Any) -> ReceiptKeyRow:
    key = PublicReceiptKey(
        x=row.public_x,
        kid=row.kid,
        iat=int(row.created_at.timestamp()),
        exp=int(row.expires_at.timestamp()),
        service=row.service,
    )
    return ReceiptKeyRow(key, row.event_id)
