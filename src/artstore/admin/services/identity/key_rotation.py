"""The life of a signing key: `next` (published) -> `active` (signs) -> `passive` -> gone.

The next key is made as soon as the one before has become active, so there is always one that all
modules have long seen, and rotating, by the clock or by hand, fails nobody's request. A passive
key stays published until the last token it signed has ended.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import SigningKeyInfo
from artstore.admin.repository import service_accounts
from artstore.admin.repository import signing_keys as repository
from artstore.admin.repository.signing_keys import StoredKey
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.revocation import TOKEN_LIFETIME_MAX, Revocations
from artstore.admin.services.identity.sealing import Seal
from artstore.admin.services.identity.signing_keys import RELOAD_AFTER_S, KeyRing, make_key
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import NotReady
from artstore.core.metrics import ACCOUNT_EXPIRY, SIGNING_KEY_DUE
from artstore.core.model.audit import AuditKind, Target

ACTIVE_FOR: Final = timedelta(hours=24)
PUBLISHED_AHEAD: Final = timedelta(hours=1)
"""Modules fetch the keys every five minutes, and caches between keep them for one."""
PASSIVE_FOR: Final = TOKEN_LIFETIME_MAX + timedelta(seconds=2 * RELOAD_AFTER_S)
"""The last token is made by an instance that has not noticed yet that the key retired."""
BY_CLOCK: Final = Who(name="key rotation")


class KeyRotation:
    def __init__(
        self,
        database: Database,
        seal: Seal,
        ring: KeyRing,
        *,
        revocations: Revocations,
        clock: Clock,
        trail: Trail,
    ) -> None:
        self._database = database
        self._seal = seal
        self._ring = ring
        self._revocations = revocations
        self._clock = clock
        self._trail = trail

    async def prepare(self) -> None:
        """Load the keys; make the first ones where there are none.

        Raises:
            ConfigurationError: The key-encryption key does not fit the database.
            Unavailable: The database is away.
        """
        async with self._database.session() as session:
            await repository.lock(session)
            stored = await repository.all_keys(session)
            if not any(key.state == "active" for key in stored):
                first = await self._add_next(session, BY_CLOCK)
                await repository.activate(session, first.kid, self._clock.now())
        await self._ring.reload()
        await self.advance()

    async def advance(self) -> None:
        """Whatever is due. One instance does it; the others go on at once."""
        async with self._database.session() as session:
            await _show_ends(session)
            if not await repository.try_lock(session):
                return
            stored = await repository.all_keys(session)
            now = self._clock.now()
            due = _due(stored, now)
            if due is not None:
                await self._switch(session, stored, due, BY_CLOCK)
            for key in stored:
                if key.retired_at is not None and now - key.retired_at > PASSIVE_FOR:
                    await self._remove(session, key, BY_CLOCK)
            is_next_missing = due is not None or _next(stored) is None
            if is_next_missing:
                await self._add_next(session, BY_CLOCK)
        if is_next_missing:
            await self._ring.reload()

    async def rotate(self, who: Who) -> list[SigningKeyInfo]:
        """Now, on somebody's demand. The keys afterwards.

        Raises:
            NotReady: The next key is not published long enough.
        """
        async with self._database.session() as session:
            await repository.lock(session)
            stored = await repository.all_keys(session)
            following = _next(stored)
            if following is None or not _is_known(following, self._clock.now()):
                raise NotReady("the next key has not been published for an hour yet")
            await self._switch(session, stored, following, who)
            await self._add_next(session, who)
        await self._ring.reload()
        return await self.keys()

    async def replace_stolen(self, who: Who) -> list[SigningKeyInfo]:
        """Somebody else has private keys: nothing they signed or will sign counts any more, from
        within a second. Everybody must sign in again.

        Not even the next key is kept, since it lay beside the stolen one. So the modules have
        never seen the new one; a token may be refused for some seconds, until they fetch it.
        """
        async with self._database.session() as session:
            await repository.lock(session)
            for key in await repository.all_keys(session):
                by = who.subject or "unknown"
                await self._revocations.revoke_key(session, key.kid, by, "signing key stolen")
                await self._remove(session, key, who)
            first = await self._add_next(session, who)
            await repository.activate(session, first.kid, self._clock.now())
            await self._add_next(session, who)
        await self._revocations.committed(session)
        await self._ring.reload()
        return await self.keys()

    async def keys(self) -> list[SigningKeyInfo]:
        async with self._database.session() as session:
            stored = await repository.all_keys(session)
        return [SigningKeyInfo.model_validate(key) for key in stored]

    async def _switch(
        self, session: AsyncSession, stored: Sequence[StoredKey], following: StoredKey, who: Who
    ) -> None:
        now = self._clock.now()
        for key in stored:
            if key.state == "active":
                # First, since only one may be active.
                await repository.retire(session, key.kid, now)
                await self._record(session, who, AuditKind.KEY_RETIRED, key)
        await repository.activate(session, following.kid, now)
        await self._record(session, who, AuditKind.KEY_ACTIVATED, following)

    async def _add_next(self, session: AsyncSession, who: Who) -> StoredKey:
        key = await asyncio.to_thread(make_key, self._seal, self._clock.now())
        await repository.add(session, key)
        await self._record(session, who, AuditKind.KEY_CREATED, key)
        return key

    async def _remove(self, session: AsyncSession, key: StoredKey, who: Who) -> None:
        await repository.remove(session, key.kid)
        await self._record(session, who, AuditKind.KEY_REMOVED, key)

    async def _record(
        self, session: AsyncSession, who: Who, kind: AuditKind, key: StoredKey
    ) -> None:
        target = Target(type="token_key", id=key.kid)
        await self._trail.record(session, who, Deed(kind, target=target))


async def _show_ends(session: AsyncSession) -> None:
    """In every instance, whichever does the work."""
    for key in await repository.all_keys(session):
        if key.state == "active" and key.activated_at is not None:
            SIGNING_KEY_DUE.set((key.activated_at + ACTIVE_FOR).timestamp())
    end = await service_accounts.next_end(session)
    ACCOUNT_EXPIRY.set(end.timestamp() if end else 0)


def _next(stored: Sequence[StoredKey]) -> StoredKey | None:
    return next((key for key in stored if key.state == "next"), None)


def _is_known(key: StoredKey, now: datetime) -> bool:
    """All modules have seen it."""
    return now - key.created_at >= PUBLISHED_AHEAD


def _due(stored: Sequence[StoredKey], now: datetime) -> StoredKey | None:
    """The next key, when it is time that it signs."""
    active = next(key for key in stored if key.state == "active")
    following = _next(stored)
    if following is None or not _is_known(following, now) or active.activated_at is None:
        return None
    return following if now - active.activated_at >= ACTIVE_FOR else None
