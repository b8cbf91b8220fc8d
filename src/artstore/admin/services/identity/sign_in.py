"""Machines and people prove who they are and get an access token.

Whatever is wrong, the answer and the time it takes are the same: a stranger learns neither
which accounts exist nor which are suspended.
"""

import asyncio
from collections.abc import Collection
from uuid import UUID

from artstore.admin.model import ServiceAccount, User
from artstore.admin.repository import service_accounts, users
from artstore.admin.repository.service_accounts import AccountWithSecret
from artstore.admin.repository.users import UserWithPassword
from artstore.admin.services.audit.attempts import Attempts
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.hashing import SECRET_CHARS_MAX, SecretHasher
from artstore.admin.services.identity.passwords import check_password
from artstore.admin.services.identity.throttle import Attempt, Throttle
from artstore.admin.services.identity.tokens import AccessToken, TokenIssuer
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

    async def machine(
        self, client_id: str, secret: str, wanted: Collection[str], who: Who
    ) -> AccessToken:
        """A token for a service account. `wanted`: scopes; none means all of its role.

        Raises:
            InvalidCredentials: Unknown, suspended or wrong secret.
            InvalidTokenRequest: A wanted scope is not the account's.
            TooManyRequests: After too many failures.
        """
        who = who.named(client_id)
        async with self._attempts.watched(AuditKind.TOKEN_ISSUED, who) as attempted:
            async with self._database.session() as session:
                found = await service_accounts.find(session, client_id)
            attempt = Attempt(f"machine {client_id}", who.place)
            account = await self._proven_account(found, secret, attempt)
            attempted.subject = account.subject
            scopes = _narrowed(ACCOUNT_SCOPES[account.role], wanted)
            token = await self._issuer.issue(
                subject=account.subject,
                client_id=account.client_id,
                name=account.client_id,
                scopes=scopes,
            )
        LOGINS.labels("succeeded").inc()
        return token

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

    async def _proven_account(
        self, found: AccountWithSecret | None, secret: str, attempt: Attempt
    ) -> ServiceAccount:
        if (
            found
            and found.account.state == "active"
            and self._verified.knows(found.secret_hash, secret)
        ):
            return found.account
        await self._prove(found.secret_hash if found else None, secret, attempt)
        if found is None or found.account.state != "active":
            raise _refusal()
        self._verified.remember(found.secret_hash, secret)
        await self._throttle.succeeded(attempt)
        return found.account

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
        return await self._issuer.issue(
            subject=user.subject,
            client_id=PEOPLE_CLIENT_ID,
            name=user.username,
            scopes=scopes,
        )


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
