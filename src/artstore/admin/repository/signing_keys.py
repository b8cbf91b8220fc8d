"""Rows of `identity.signing_keys`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, text
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


async def lock(session: AsyncSession) -> None:
    """Held until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": KEY_LOCK})


async def all_keys(session: AsyncSession) -> list[StoredKey]:
    rows = await session.execute(select(signing_keys).order_by(signing_keys.c.created_at))
    return [StoredKey(row.kid, row.state, row.public_jwk, row.private_key) for row in rows]


async def add_active(session: AsyncSession, key: StoredKey, now: datetime) -> None:
    await session.execute(
        insert(signing_keys).values(
            kid=key.kid,
            state=key.state,
            public_jwk=key.public_jwk,
            private_key=key.sealed_private_key,
            created_at=now,
            activated_at=now,
        )
    )
