"""Machines prove who they are and get an access token.

Whatever is wrong, the answer and the time it takes are the same: a stranger learns neither
which accounts exist nor which are suspended.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from artstore.admin.model import ServiceAccount
from artstore.admin.repository import grants, service_accounts
from artstore.admin.repository.service_accounts import AccountWithSecret
from artstore.admin.services.audit.attempts import Attempts
from artstore.admin.services.audit.trail import Trail, Who
from artstore.admin.services.identity.known_accounts import KnownAccounts
from artstore.admin.services.identity.machine_secrets import candidate, hash_in
from artstore.admin.services.identity.proving import Proving, refusal
from artstore.admin.services.identity.throttle import Attempt
from artstore.admin.services.identity.tokens import AccessToken, Holder, TokenIssuer
from artstore.admin.services.identity.verified_secrets import VerifiedSecrets
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import (
    InvalidTokenRequest,
)
from artstore.core.metrics import LOGINS
from artstore.core.model.account import ACCOUNT_SCOPES, Scope
from artstore.core.model.audit import AuditKind
from artstore.core.tokens import RequestLimits

LAST_USE_EVERY = timedelta(minutes=1)
"""Finer would be a write for each token."""


class SignIn:
    """Opens short transactions of its own: none stays open while argon2 works."""

    def __init__(
        self,
        database: Database,
        proving: Proving,
        issuer: TokenIssuer,
        clock: Clock,
        *,
        trail: Trail,
        known: KnownAccounts,
    ) -> None:
        self._database = database
        self._proving = proving
        self._issuer = issuer
        self._clock = clock
        self._trail = trail
        self._attempts = Attempts(database, trail)
        self._known = known
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

    async def _proven_machine(self, client_id: str, secret: str, who: Who) -> ServiceAccount:
        now = self._clock.now()
        known = self._known.get(client_id)
        if known is not None and self._is_proven(known, secret, now):
            return known.account
        async with self._database.session() as session:
            found = await service_accounts.find(session, client_id)
        if found is not None and self._is_proven(found, secret, now):
            self._known.hold(found)
            return found.account
        stored = _stored_for(found, secret, now) if found else None
        usable = found is not None and found.account.is_usable(now)
        attempt = Attempt(f"machine {client_id}", who.place)
        await self._proving.prove(hash_in(stored) if stored else None, secret, attempt)
        if found is None or stored is None or not usable:
            raise refusal()
        self._verified.remember(stored, secret)
        await self._proving.succeeded(attempt)
        return found.account

    def _is_proven(self, found: AccountWithSecret, secret: str, now: datetime) -> bool:
        if not found.account.is_usable(now):
            return False
        return self._verified.knows(_stored_for(found, secret, now), secret)

    async def _machine_holder(self, account: ServiceAccount, certificate: str | None) -> Holder:
        now = self._clock.now()
        granted = None
        used = account.last_used_at
        if account.restricted or used is None or now - used > LAST_USE_EVERY:
            async with self._database.session() as session:
                if account.restricted:
                    granted = await grants.of_subject(session, account.subject)
                await service_accounts.note_use(session, account.client_id, now)
            self._known.used(account.client_id, now)
        return Holder(
            subject=account.subject,
            client_id=account.client_id,
            name=account.client_id,
            epoch=account.token_epoch,
            grants=granted,
            requests_per_minute=account.requests_per_minute,
            certificate=certificate,
        )


def _stored_for(found: AccountWithSecret, secret: str, now: datetime) -> str:
    until = found.account.previous_secret_until
    overlaps = until is not None and now < until
    previous = found.previous_secret_hash if overlaps else None
    return candidate(secret, found.secret_hash, previous)


def _narrowed(allowed: frozenset[Scope], wanted: Collection[str]) -> frozenset[Scope]:
    beyond = set(wanted) - allowed
    if beyond:
        raise InvalidTokenRequest(
            "the account's role does not have all the scopes that were asked for",
            error="invalid_scope",
        )
    return frozenset(Scope(name) for name in wanted) or allowed
