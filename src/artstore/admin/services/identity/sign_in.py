"""Machines and people prove who they are and get an access token.

Whatever is wrong, the answer and the time it takes are the same: a stranger learns neither
which accounts exist nor which are suspended.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from artstore.admin.model import ServiceAccount, User
from artstore.admin.repository import grants, service_accounts, users
from artstore.admin.repository.service_accounts import AccountWithSecret
from artstore.admin.repository.users import UserWithPassword
from artstore.admin.services.audit.attempts import Attempts
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.hashing import SECRET_CHARS_MAX, SecretHasher
from artstore.admin.services.identity.machine_secrets import candidate, hash_in
from artstore.admin.services.identity.passwords import check_password
from artstore.admin.services.identity.throttle import Attempt, Throttle
from artstore.admin.services.identity.tokens import AccessToken, Holder, TokenIssuer
from artstore.admin.services.identity.verified_secrets import VerifiedSecrets
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import (
    InvalidCredentials,
    InvalidToken,
    InvalidTokenRequest,
    NotPermitted,
    TooManyRequests,
    WeakPassword,
)
from artstore.core.metrics import LOGINS
from artstore.core.model.account import ACCOUNT_SCOPES, USER_SCOPES, Caller, Scope
from artstore.core.model.audit import AuditKind, Target
from artstore.core.tokens import RequestLimits

LAST_USE_EVERY = timedelta(minutes=1)
"""Finer would be a write for each token."""
PEOPLE_CLIENT_ID = "admin-auth"
"""RFC 9068 wants a client id in every token; people have none of their own."""


class SignIn:
    """Opens short transactions of its own: none stays open while argon2 works."""

    def __init__(
        self,
        database: Database,
        hasher: SecretHasher,
        throttle: Throttle,
        issuer: TokenIssuer,
        clock: Clock,
        *,
        trail: Trail,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._throttle = throttle
        self._issuer = issuer
        self._clock = clock
        self._trail = trail
        self._attempts = Attempts(database, trail)
        self._verified = VerifiedSecrets()
        self._limits = RequestLimits(clock)

    async def machine(
        self,
        client_id: str,
        secret: str,
        wanted: Collection[str],
        who: Who,
        certificate: str | None = None,
    ) -> AccessToken:
        """A token for a service account.

        Args:
            wanted: Scopes; none means all of its role.
            certificate: Thumbprint of the one that the token is to be bound to.

        Raises:
            InvalidCredentials: Unknown, suspended, expired or wrong secret.
            InvalidTokenRequest: A wanted scope is not the account's.
            TooManyRequests: After too many failures.
        """
        who = who.named(client_id)
        async with self._attempts.watched(AuditKind.TOKEN_ISSUED, who) as attempted:
            account = await self._proven_machine(client_id, secret, who)
            attempted.subject = account.subject
            self._limits.take(account.subject, account.requests_per_minute)
            scopes = _narrowed(ACCOUNT_SCOPES[account.role], wanted)
            holder = await self._machine_holder(account, certificate)
            token = await self._issuer.issue(holder, scopes)
        LOGINS.labels("succeeded").inc()
        return token

    async def client(self, client_id: str, secret: str, who: Who) -> ServiceAccount:
        """The account, for requests that need it to prove itself and give no token.

        Raises:
            InvalidCredentials: Unknown, suspended, expired or wrong secret.
            TooManyRequests: After too many failures.
        """
        who = who.named(client_id)
        async with self._attempts.refusals(AuditKind.ACCESS_REFUSED, who):
            return await self._proven_machine(client_id, secret, who)

    async def person(self, username: str, password: str, who: Who) -> AccessToken:
        """A token for a user. With a one-time password it is good for changing it only.

        Raises:
            InvalidCredentials: Unknown, suspended or wrong password.
            TooManyRequests: After too many failures.
        """
        who = who.named(username)
        async with self._attempts.watched(AuditKind.SIGN_IN, who) as attempted:
            async with self._database.session() as session:
                found = await users.find(session, username)
            attempt = Attempt(f"person {username}", who.place)
            user = await self._proven_user(found, password, attempt)
            attempted.subject = user.subject
            return await self._token_for(user)

    async def change_password(
        self, caller: Caller, password: str, new_password: str, who: Who
    ) -> AccessToken:
        """A new password, and a token with all scopes of the role.

        Raises:
            InvalidCredentials: `password` is not the present one.
            WeakPassword: The new one is too short, common, or the present one again.
            TooManyRequests: After too many failures.
        """
        who = who.proven(caller)
        async with self._attempts.refusals(AuditKind.SECRET_CHANGED, who):
            async with self._database.session() as session:
                found = await users.find_by_id(session, _user_id(caller))
            if found is None:
                raise InvalidToken
            attempt = Attempt(f"person {found.user.username}", who.place)
            await self._proven_user(found, password, attempt)
            if new_password == password:
                raise WeakPassword("the new password must differ from the present one")
            await asyncio.to_thread(check_password, new_password, found.user.username)
            return await self._token_for(await self._save_password(found, new_password, who))

    async def me(self, caller: Caller) -> User:
        """
        Raises:
            NotPermitted: A machine's token.
            InvalidToken: The user is no more.
        """
        async with self._database.session() as session:
            found = await users.find_by_id(session, _user_id(caller))
        if found is None:
            raise InvalidToken
        return found.user

    async def _proven_machine(self, client_id: str, secret: str, who: Who) -> ServiceAccount:
        async with self._database.session() as session:
            found = await service_accounts.find(session, client_id)
        now = self._clock.now()
        stored = _stored_for(found, secret, now) if found else None
        usable = found is not None and found.account.is_usable(now)
        if found and stored and usable and self._verified.knows(stored, secret):
            return found.account
        attempt = Attempt(f"machine {client_id}", who.place)
        await self._prove(hash_in(stored) if stored else None, secret, attempt)
        if found is None or stored is None or not usable:
            raise _refusal()
        self._verified.remember(stored, secret)
        await self._throttle.succeeded(attempt)
        return found.account

    async def _machine_holder(self, account: ServiceAccount, certificate: str | None) -> Holder:
        now = self._clock.now()
        granted = None
        used = account.last_used_at
        if account.restricted or used is None or now - used > LAST_USE_EVERY:
            async with self._database.session() as session:
                if account.restricted:
                    granted = await grants.of_subject(session, account.subject)
                await service_accounts.note_use(session, account.client_id, now)
        return Holder(
            subject=account.subject,
            client_id=account.client_id,
            name=account.client_id,
            epoch=account.token_epoch,
            grants=granted,
            requests_per_minute=account.requests_per_minute,
            certificate=certificate,
        )

    async def _proven_user(
        self, found: UserWithPassword | None, password: str, attempt: Attempt
    ) -> User:
        await self._prove(found.password_hash if found else None, password, attempt)
        if found is None or found.user.state != "active":
            raise _refusal()
        await self._throttle.succeeded(attempt)
        LOGINS.labels("succeeded").inc()
        return found.user

    async def _prove(self, stored_hash: str | None, secret: str, attempt: Attempt) -> None:
        try:
            await self._throttle.admit(attempt)
            matches = await self._hasher.verify(stored_hash, secret[:SECRET_CHARS_MAX])
        except TooManyRequests:
            LOGINS.labels("throttled").inc()
            raise
        if not matches or len(secret) > SECRET_CHARS_MAX:
            raise _refusal()

    async def _save_password(self, found: UserWithPassword, new_password: str, who: Who) -> User:
        new_hash = await self._hasher.hash(new_password)
        async with self._database.session() as session:
            changed = await users.change_password(
                session,
                found.user.user_id,
                found.password_hash,
                {
                    "password_hash": new_hash,
                    "password_change_required": False,
                    "password_changed_at": self._clock.now(),
                },
            )
            if changed is None:
                raise InvalidCredentials  # Somebody else changed it a moment ago.
            target = Target(type="user", id=str(changed.user_id))
            await self._trail.record(session, who, Deed(AuditKind.SECRET_CHANGED, target=target))
        return changed

    async def _token_for(self, user: User) -> AccessToken:
        scopes = USER_SCOPES[user.role]
        if user.password_change_required:
            scopes = frozenset({Scope.PASSWORD_CHANGE})
        holder = Holder(user.subject, PEOPLE_CLIENT_ID, user.username, user.token_epoch)
        return await self._issuer.issue(holder, scopes)


def _stored_for(found: AccountWithSecret, secret: str, now: datetime) -> str:
    until = found.account.previous_secret_until
    overlaps = until is not None and now < until
    previous = found.previous_secret_hash if overlaps else None
    return candidate(secret, found.secret_hash, previous)


def _refusal() -> InvalidCredentials:
    LOGINS.labels("refused").inc()
    return InvalidCredentials()


def _narrowed(allowed: frozenset[Scope], wanted: Collection[str]) -> frozenset[Scope]:
    beyond = set(wanted) - allowed
    if beyond:
        raise InvalidTokenRequest(
            "the account's role does not have all the scopes that were asked for",
            error="invalid_scope",
        )
    return frozenset(Scope(name) for name in wanted) or allowed


def _user_id(caller: Caller) -> UUID:
    kind, _, identifier = caller.subject.partition(":")
    if kind != "user":
        raise NotPermitted("this is for people; a service account has nothing here")
    return UUID(identifier)
