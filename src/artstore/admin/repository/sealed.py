"""Columns that hold sealed bytes, whatever they mean: for a change of the key that seals them."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, select, update
from sqlalchemy.ext.asyncio import AsyncSession

PAGE_ROWS: Final = 500


@dataclass(frozen=True)
class SealedColumn:
    identity: Column[Any]
    """Primary key of its table."""
    sealed: Column[Any]
    """Empty where nothing is kept any more."""


@dataclass(frozen=True)
class SealedRow:
    identity: Any
    sealed: bytes


async def page(session: AsyncSession, column: SealedColumn, after: Any) -> list[SealedRow]:
    """Rows that hold something, behind one of this identity; `None`: the first of them."""
    statement = select(column.identity, column.sealed).where(column.sealed != b"")
    if after is not None:
        statement = statement.where(column.identity > after)
    found = await session.execute(statement.order_by(column.identity).limit(PAGE_ROWS))
    return [SealedRow(identity, bytes(held)) for identity, held in found]


async def replace(session: AsyncSession, column: SealedColumn, row: SealedRow, new: bytes) -> None:
    """Unless somebody else has just put something newer there."""
    await session.execute(
        update(column.sealed.table)
        .where(column.identity == row.identity, column.sealed == row.sealed)
        .values({column.sealed: new})
    )
