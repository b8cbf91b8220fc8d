"""Rows of `identity.signing_keys`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.tables import signing_keys

KEY_LOCK = 0x4172_7453_6B65_7973
"""Advisory lock: one instance at a time makes or rotates keys."""


@dataclass(frozen=True)
class StoredKey:
    kid: str
    state: str
    public_jwk: dict[str, Any]
    sealed_private_key: bytes
    created_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None


async def lock(session: AsyncSession) -> None:
    """Held until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": KEY_LOCK})


async def try_lock(session: AsyncSession) -> bool:
    """As `lock`, without waiting for another instance that is at it."""
    statement = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(await session.scalar(statement, {"key": KEY_LOCK}))


async def all_keys(session: AsyncSession) -> list[StoredKey]:
    rows = await session.execute(select(signing_keys).order_by(signing_keys.c.created_at))
    return [
        StoredKey(
            row.kid,
            row.state,
            row.public_jwk,
            row.private_key,
            row.created_at,
            row.activated_at,
            row.retired_at,
        )
        for row in rows
    ]


async def add(session: AsyncSession, key: StoredKey) -> None:
    await session.execute(
        insert(signing_keys).values(
            kid=key.kid,
            state=key.state,
            public_jwk=key.public_jwk,
            private_key=key.sealed_private_key,
            created_at=key.created_at,
            activated_at=key.activated_at,
        )
    )


async def retire(session: AsyncSession, kid: str, now: datetime) -> None:
    """Signs no more. Its private half is of no more use to anybody, and goes."""
    await session.execute(
        update(signing_keys)
        .where(signing_keys.c.kid == kid)
        .values(state="passive", retired_at=now, private_key=b"")
    )


async def activate(session: AsyncSession, kid: str, now: datetime) -> None:
    await session.execute(
        update(signing_keys)
        .where(signing_keys.c.kid == kid)
        .values(state="active", activated_at=now)
    )


async def remove(session: AsyncSession, kid: str) -> None:
    await session.execute(delete(signing_keys).where(signing_keys.c.kid == kid))
