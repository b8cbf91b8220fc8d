"""Sessions of people: an access token for half an hour, and a refresh token for the next one.

A refresh token is good once. It carries its number, authenticated under a key of its session, so
one that comes again is recognised however old it is. Then somebody has copied it, and nobody
knows who is who: the session ends, for both.
"""

import base64
import hmac
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import PersonSession, User
from artstore.admin.repository import sessions as repository
from artstore.admin.repository import users
from artstore.admin.repository.sessions import StoredSession
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.revocation import Revocations
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import InvalidToken
from artstore.core.model.audit import AuditKind, Outcome, Target

LIFETIME: Final = timedelta(days=7)
LIFETIME_FROM_OUTSIDE: Final = timedelta(hours=12)
"""Nobody tells us when the outside provider lets somebody go, so its people have to pass there
again at least twice a day."""
IDLE_MAX: Final = timedelta(hours=12)
KEY_BYTES: Final = 32
TOKEN_CHARS_MAX: Final = 200


@dataclass(frozen=True)
class OpenSession:
    user: User
    shown: PersonSession
    refresh_token: str


class Sessions:
    def __init__(
        self,
        database: Database,
        seal: Seal,
        revocations: Revocations,
        *,
        clock: Clock,
        trail: Trail,
    ) -> None:
        self._database = database
        self._seal = seal
        self._revocations = revocations
        self._clock = clock
        self._trail = trail

    async def begin(
        self,
        session: AsyncSession,
        user: User,
        methods: Collection[str],
        *,
        proven_at: datetime | None = None,
        lifetime: timedelta = LIFETIME,
    ) -> OpenSession:
        """Always a new one: what the client held before counts for nothing.

        `proven_at`: when the person proved who they are, if that was not just now.
        """
        now = self._clock.now()
        shown = PersonSession(
            session_id=uuid4(),
            user_id=user.user_id,
            methods=frozenset(methods),
            authenticated_at=proven_at or now,
            created_at=now,
            last_used_at=now,
            ends_at=now + lifetime,
        )
        key = os.urandom(KEY_BYTES)
        sealed = self._seal.seal(key, sealed_for(shown.session_id))
        await repository.add(session, StoredSession(shown, sealed, 1))
        await users.change(session, user.user_id, {"last_used_at": now})
        return OpenSession(user, shown, _token(key, shown.session_id, 1))

    async def refresh(self, token: str, who: Who) -> OpenSession:
        """
        Raises:
            InvalidToken: It is none of ours, the session has ended, or the token was used before;
                in that case the session ends now.
        """
        session_id, number, mac = _parse(token)
        async with self._database.session() as session:
            found = await self._next(session, session_id, number, mac, who)
        await self._revocations.committed(session)
        if found is None:
            raise InvalidToken
        return found

    async def _next(
        self, session: AsyncSession, session_id: UUID, number: int, mac: str, who: Who
    ) -> OpenSession | None:
        stored = await repository.locked(session, session_id)
        if stored is None:
            return None
        key = self._seal.open(stored.refresh_key, sealed_for(session_id))
        if not hmac.compare_digest(mac, _mac(key, session_id, number)):
            return None
        now = self._clock.now()
        found = await users.find_by_id(session, stored.shown.user_id)
        assert found is not None, "sessions refer to their user"
        who = replace(who, subject=found.user.subject, name=found.user.username)
        target = Target(type="session", id=str(session_id))
        if number != stored.refresh_number:
            await self.end(session, session_id, found.user.subject, "refresh token used twice")
            refused = Deed(
                AuditKind.TOKEN_REFRESHED, Outcome.REFUSED, "invalid_token", target=target
            )
            await self._trail.record(session, who, refused)
            return None
        idle = now - stored.shown.last_used_at
        if found.user.state != "active" or now >= stored.shown.ends_at or idle > IDLE_MAX:
            return None
        await repository.refreshed(session, session_id, number + 1, now)
        await self._trail.record(session, who, Deed(AuditKind.TOKEN_REFRESHED, target=target))
        return OpenSession(found.user, stored.shown, _token(key, session_id, number + 1))

    async def end(self, session: AsyncSession, session_id: UUID, by: str, reason: str) -> None:
        """It is refreshed no more, and its access tokens end."""
        if await repository.end(session, session_id, self._clock.now()):
            await self._revocations.revoke_session(session, str(session_id), by, reason)

    async def end_all(self, session: AsyncSession, user: User, by: str, reason: str) -> None:
        """Of one person."""
        await repository.end_all(session, user.user_id, self._clock.now())
        await self._revocations.revoke_subject(session, user.subject, by, reason)

    async def of_user(self, session: AsyncSession, user_id: UUID) -> list[PersonSession]:
        return await repository.of_user(session, user_id, self._clock.now())

    async def proven_again(
        self, session: AsyncSession, shown: PersonSession, method: str
    ) -> PersonSession:
        """Somebody showed a second factor in the midst of a session (step-up).

        Raises:
            InvalidToken: The time of the session is over, and no proof prolongs it.
        """
        now = self._clock.now()
        if now >= shown.ends_at:
            raise InvalidToken
        methods = shown.methods | {method}
        await repository.proven_again(session, shown.session_id, sorted(methods), now)
        return shown.model_copy(update={"methods": methods, "authenticated_at": now})

    async def current(self, session: AsyncSession, session_id: str | None) -> PersonSession:
        """
        Raises:
            InvalidToken: It has ended, or the token belongs to none.
        """
        stored = await repository.locked(session, UUID(session_id)) if session_id else None
        if stored is None:
            raise InvalidToken
        return stored.shown


def _token(key: bytes, session_id: UUID, number: int) -> str:
    return f"{session_id}.{number}.{_mac(key, session_id, number)}"


def _mac(key: bytes, session_id: UUID, number: int) -> str:
    digest = hmac.digest(key, f"refresh {session_id} {number}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _parse(token: str) -> tuple[UUID, int, str]:
    try:
        session_id, number, mac = token.split(".")
        if len(token) > TOKEN_CHARS_MAX or not mac.isascii() or not number.isascii():
            raise InvalidToken
        return UUID(session_id), int(number), mac
    except ValueError:
        raise InvalidToken from None


def sealed_for(session_id: UUID) -> str:
    return f"session {session_id}"
