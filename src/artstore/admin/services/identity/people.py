"""People: made, changed, suspended. Never erased, since records of decades name them."""

import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import AccountState, User
from artstore.admin.repository import users as repository
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.admin.services.identity.second_factors import SecondFactors
from artstore.admin.services.identity.sessions import Sessions
from artstore.core.clock import Clock
from artstore.core.errors import LastAdministrator, NameTaken, UnknownAccount
from artstore.core.model.account import UserRole
from artstore.core.model.audit import AuditKind, Target

PASSWORD_BYTES = 18


@dataclass(frozen=True)
class OneTimePassword:
    """The only time it is seen. It is good for choosing another one, and for nothing else."""

    user: User
    password: str | None
    """`None`: they sign in at an outside identity provider."""


class People:
    def __init__(
        self,
        session: AsyncSession,
        hasher: SecretHasher,
        sessions: Sessions,
        factors: SecondFactors,
        clock: Clock,
        *,
        audit: BoundTrail,
    ) -> None:
        """`audit` writes in the transaction of `session`."""
        self._session = session
        self._hasher = hasher
        self._sessions = sessions
        self._factors = factors
        self._clock = clock
        self._audit = audit

    async def create(self, username: str, role: UserRole) -> OneTimePassword:
        """
        Raises:
            NameTaken: There is such a person, perhaps suspended.
        """
        now = self._clock.now()
        user = User(
            user_id=uuid4(),
            username=username,
            role=role,
            state="active",
            password_change_required=True,
            created_at=now,
            password_changed_at=now,
        )
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        if not await repository.add(self._session, user, await self._hasher.hash(password)):
            raise NameTaken(f"there is a person {username}")
        await self._record(AuditKind.ACCOUNT_CREATED, user, role=role)
        return OneTimePassword(user, password)

    async def page(self, after: str, limit: int) -> list[User]:
        return await repository.page(self._session, after, limit)

    async def get(self, user_id: UUID) -> User:
        found = await repository.find_by_id(self._session, user_id)
        if found is None:
            raise UnknownAccount
        return found.user

    async def change(self, user_id: UUID, values: dict[str, Any]) -> User:
        """Role, state, restriction. All sessions of that person end.

        Raises:
            LastAdministrator: Nobody could manage the installation any more.
        """
        user = await self.get(user_id)
        if not values:
            return user
        await check_stays_managed(
            self._session,
            user,
            role=values.get("role", user.role),
            state=values.get("state", user.state),
        )
        await repository.change(self._session, user_id, values)
        await self._end_sessions(user, "account changed")
        told = {name: str(value) for name, value in values.items()}
        await self._record(AuditKind.ACCOUNT_CHANGED, user, **told)
        return await self.get(user_id)

    async def reset(self, user_id: UUID) -> OneTimePassword:
        """For somebody who lost password or second factor: both begin anew. People from outside
        never had a password here, and get none."""
        user = await self.get(user_id)
        password = None if user.provider else secrets.token_urlsafe(PASSWORD_BYTES)
        if password is not None:
            values = {
                "password_hash": await self._hasher.hash(password),
                "password_change_required": True,
                "password_changed_at": self._clock.now(),
            }
            await repository.change(self._session, user_id, values)
        await self._factors.remove_all(self._session, user)
        await self._end_sessions(user, "account reset")
        await self._record(AuditKind.SECRET_CHANGED, user, reset="password and second factors")
        return OneTimePassword(await self.get(user_id), password)

    async def _end_sessions(self, user: User, reason: str) -> None:
        await self._sessions.end_all(self._session, user, self._audit.subject, reason)

    async def _record(self, kind: AuditKind, user: User, **details: object) -> None:
        target = Target(type="user", id=str(user.user_id))
        await self._audit.record(Deed(kind, target=target, details=details))


async def check_stays_managed(
    session: AsyncSession, user: User, *, role: UserRole, state: AccountState
) -> None:
    """
    Raises:
        LastAdministrator: With this role and state nobody could manage the installation any more.
    """
    if role == UserRole.SUPER_ADMIN and state == "active":
        return
    others = await repository.lock_super_admins(session) - {user.user_id}
    if user.role == UserRole.SUPER_ADMIN and user.state == "active" and not others:
        raise LastAdministrator("make another super administrator first")
