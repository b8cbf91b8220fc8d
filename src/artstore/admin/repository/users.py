"""Rows of `identity.users`."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import User
from artstore.admin.tables import users
from artstore.core.model.account import UserRole


@dataclass(frozen=True)
class UserWithPassword:
    user: User
    password_hash: str | None
    """`None`: they sign in at an outside identity provider."""


async def find(session: AsyncSession, username: str) -> UserWithPassword | None:
    if "\0" in username:
        return None  # PostgreSQL cannot even be asked for it.
    return await _one(session, select(users).where(users.c.username == username.lower()))


async def find_by_id(session: AsyncSession, user_id: UUID) -> UserWithPassword | None:
    return await _one(session, select(users).where(users.c.user_id == user_id))


async def find_from_outside(session: AsyncSession, provider: str, subject: str) -> User | None:
    statement = select(users).where(
        users.c.provider == provider, users.c.provider_subject == subject
    )
    found = await _one(session, statement)
    return found.user if found else None


async def _one(
    session: AsyncSession, statement: Select[*tuple[object, ...]]
) -> UserWithPassword | None:
    row = (await session.execute(statement)).one_or_none()
    return UserWithPassword(User.model_validate(row), row.password_hash) if row else None


async def add(
    session: AsyncSession,
    user: User,
    password_hash: str | None,
    provider_subject: str | None = None,
) -> bool:
    """Whether it was added; `False` when the name is taken, or that person of the provider."""
    statement = (
        postgresql.insert(users)
        .values(
            {
                **user.model_dump(),
                "password_hash": password_hash,
                "provider_subject": provider_subject,
            }
        )
        .on_conflict_do_nothing()
        .returning(users.c.user_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def page(session: AsyncSession, after: str, limit: int) -> list[User]:
    """People behind user name `after`, in the order of their names."""
    statement = (
        select(users).where(users.c.username > after).order_by(users.c.username).limit(limit)
    )
    return [User.model_validate(row) for row in await session.execute(statement)]


async def change(session: AsyncSession, user_id: UUID, values: Mapping[str, object]) -> None:
    await session.execute(update(users).where(users.c.user_id == user_id).values(**values))


async def lock_super_admins(session: AsyncSession) -> set[UUID]:
    """The active ones, held until the transaction ends: two cannot remove each other at once."""
    statement = (
        select(users.c.user_id)
        .where(users.c.role == UserRole.SUPER_ADMIN, users.c.state == "active")
        .order_by(users.c.user_id)
        .with_for_update()
    )
    return set((await session.scalars(statement)).all())


async def change_password(
    session: AsyncSession, user_id: UUID, old_hash: str | None, values: Mapping[str, object]
) -> User | None:
    """The user after the change; `None` when the password was changed meanwhile."""
    statement = (
        update(users)
        .where(users.c.user_id == user_id, users.c.password_hash == old_hash)
        .values(**values)
        .returning(users)
    )
    row = (await session.execute(statement)).one_or_none()
    return User.model_validate(row) if row else None
