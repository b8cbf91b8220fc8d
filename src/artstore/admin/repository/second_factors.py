"""Rows of one-time passwords, passkeys, recovery codes and challenges."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import Passkey
from artstore.admin.tables import challenges, one_time_passwords, passkeys, recovery_codes


@dataclass(frozen=True)
class StoredPasskey:
    shown: Passkey
    credential_id: bytes
    public_key: bytes
    sign_count: int


async def has_any(session: AsyncSession, user_id: UUID) -> bool:
    """Recovery codes alone are no second factor."""
    passwords = select(one_time_passwords.c.user_id).where(
        one_time_passwords.c.user_id == user_id, one_time_passwords.c.confirmed
    )
    keys = select(passkeys.c.user_id).where(passkeys.c.user_id == user_id)
    found: bool | None = await session.scalar(select(exists(passwords) | exists(keys)))
    return bool(found)


# --- one-time passwords ----------------------------------------------------------------


async def offer_one_time_password(
    session: AsyncSession, user_id: UUID, sealed_secret: bytes, now: datetime
) -> bool:
    """Whether it was kept; a confirmed one is never replaced."""
    values = {
        "user_id": user_id,
        "secret": sealed_secret,
        "confirmed": False,
        "last_step": 0,
        "created_at": now,
    }
    statement = (
        postgresql.insert(one_time_passwords)
        .values(values)
        .on_conflict_do_update(
            index_elements=["user_id"], set_=values, where=~one_time_passwords.c.confirmed
        )
        .returning(one_time_passwords.c.user_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def one_time_secret(session: AsyncSession, user_id: UUID, *, confirmed: bool) -> bytes | None:
    statement = select(one_time_passwords.c.secret).where(
        one_time_passwords.c.user_id == user_id, one_time_passwords.c.confirmed == confirmed
    )
    secret: bytes | None = await session.scalar(statement)
    return secret


async def use_step(session: AsyncSession, user_id: UUID, step: int) -> bool:
    """Whether nobody used this step, or a later one, before. Decided by the row's lock."""
    statement = (
        update(one_time_passwords)
        .where(one_time_passwords.c.user_id == user_id, one_time_passwords.c.last_step < step)
        .values(last_step=step, confirmed=True)
        .returning(one_time_passwords.c.user_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def remove_one_time_password(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(delete(one_time_passwords).where(one_time_passwords.c.user_id == user_id))


# --- recovery codes ----------------------------------------------------------------------


async def replace_codes(session: AsyncSession, user_id: UUID, hashes: list[bytes]) -> None:
    await session.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    await session.execute(
        insert(recovery_codes), [{"user_id": user_id, "code_hash": each} for each in hashes]
    )


async def use_code(session: AsyncSession, user_id: UUID, code_hash: bytes, now: datetime) -> bool:
    statement = (
        update(recovery_codes)
        .where(
            recovery_codes.c.user_id == user_id,
            recovery_codes.c.code_hash == code_hash,
            recovery_codes.c.used_at.is_(None),
        )
        .values(used_at=now)
        .returning(recovery_codes.c.user_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


# --- passkeys ----------------------------------------------------------------------------


async def passkeys_of(session: AsyncSession, user_id: UUID) -> list[StoredPasskey]:
    statement = (
        select(passkeys).where(passkeys.c.user_id == user_id).order_by(passkeys.c.created_at)
    )
    return [
        StoredPasskey(
            Passkey(
                passkey_id=row.credential_id.hex(),
                name=row.name,
                created_at=row.created_at,
                last_used_at=row.last_used_at,
            ),
            row.credential_id,
            row.public_key,
            row.sign_count,
        )
        for row in await session.execute(statement)
    ]


async def add_passkey(session: AsyncSession, user_id: UUID, key: StoredPasskey) -> bool:
    """Whether it was added; `False` when this authenticator is registered already."""
    statement = (
        postgresql.insert(passkeys)
        .values(
            credential_id=key.credential_id,
            user_id=user_id,
            public_key=key.public_key,
            sign_count=key.sign_count,
            name=key.shown.name,
            created_at=key.shown.created_at,
        )
        .on_conflict_do_nothing()
        .returning(passkeys.c.credential_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def use_passkey(
    session: AsyncSession, credential_id: bytes, sign_count: int, now: datetime
) -> None:
    statement = update(passkeys).where(passkeys.c.credential_id == credential_id)
    await session.execute(statement.values(sign_count=sign_count, last_used_at=now))


async def remove_passkey(session: AsyncSession, user_id: UUID, credential_id: bytes) -> bool:
    statement = (
        delete(passkeys)
        .where(passkeys.c.user_id == user_id, passkeys.c.credential_id == credential_id)
        .returning(passkeys.c.credential_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def remove_all(session: AsyncSession, user_id: UUID) -> None:
    """Of somebody who lost all of them: an administrator begins anew."""
    for table in (one_time_passwords, passkeys, recovery_codes):
        await session.execute(delete(table).where(table.c.user_id == user_id))


# --- challenges --------------------------------------------------------------------------


async def add_challenge(
    session: AsyncSession,
    user_id: UUID,
    purpose: str,
    challenge: bytes,
    *,
    challenge_id: UUID,
    now: datetime,
    ends_at: datetime,
) -> None:
    await session.execute(delete(challenges).where(challenges.c.ends_at < now))
    await session.execute(
        insert(challenges).values(
            challenge_id=challenge_id,
            user_id=user_id,
            purpose=purpose,
            challenge=challenge,
            ends_at=ends_at,
        )
    )


async def take_challenge(
    session: AsyncSession, challenge_id: UUID, user_id: UUID, purpose: str, now: datetime
) -> bytes | None:
    """Good once, for whom and what it was made."""
    statement = (
        delete(challenges)
        .where(
            challenges.c.challenge_id == challenge_id,
            challenges.c.user_id == user_id,
            challenges.c.purpose == purpose,
            challenges.c.ends_at > now,
        )
        .returning(challenges.c.challenge)
    )
    challenge: bytes | None = await session.scalar(statement)
    return challenge
