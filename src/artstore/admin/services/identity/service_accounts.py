"""Service accounts: machines that get tokens with a client id and a secret."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import AccountState, ServiceAccount
from artstore.admin.repository import service_accounts as repository
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.admin.services.identity.machine_secrets import hash_in, stored_text
from artstore.admin.services.identity.revocation import Revocations
from artstore.core.clock import Clock
from artstore.core.errors import NameTaken, UnknownAccount
from artstore.core.model.account import AccountRole
from artstore.core.model.audit import AuditKind, Target

SECRET_BYTES: Final = 32
SECRET_CHARS_MIN: Final = 32
"""Random text of this length has more than 128 bits, whatever the alphabet."""
OVERLAP_MAX: Final = timedelta(days=30)


@dataclass(frozen=True)
class NewSecret:
    """The only time the secret is seen: what is kept is its hash."""

    account: ServiceAccount
    secret: str


class ServiceAccounts:
    def __init__(
        self,
        session: AsyncSession,
        hasher: SecretHasher,
        revocations: Revocations | None,
        clock: Clock,
        audit: BoundTrail,
    ) -> None:
        """`audit` writes in the transaction of `session`. Without `revocations` accounts can be
        made and get new secrets, and nothing can be taken from them."""
        self._session = session
        self._hasher = hasher
        self._revocations = revocations
        self._clock = clock
        self._audit = audit

    async def create(
        self,
        client_id: str,
        role: AccountRole,
        created_by: str,
        *,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
        restricted: bool = False,
    ) -> NewSecret:
        """
        Raises:
            NameTaken: There is such an account, perhaps suspended.
        """
        secret = secrets.token_urlsafe(SECRET_BYTES)
        limits = {
            "expires_at": expires_at,
            "requests_per_minute": requests_per_minute,
            "restricted": restricted,
        }
        account = await self.create_with(client_id, role, created_by, secret, limits)
        return NewSecret(account, secret)

    async def create_with(
        self,
        client_id: str,
        role: AccountRole,
        created_by: str,
        secret: str,
        limits: dict[str, Any] | None = None,
    ) -> ServiceAccount:
        now = self._clock.now()
        account = ServiceAccount(
            account_id=uuid4(),
            client_id=client_id,
            role=role,
            state="active",
            created_at=now,
            created_by=created_by,
            secret_changed_at=now,
            **(limits or {}),
        )
        # Hashed before the first statement: no transaction stays open meanwhile.
        secret_hash = stored_text(secret, await self._hasher.hash(secret))
        if not await repository.add(self._session, account, secret_hash):
            raise NameTaken(f"there is a service account {client_id}")
        await self._record(AuditKind.ACCOUNT_CREATED, account, role=role)
        return account

    async def get(self, client_id: str) -> ServiceAccount:
        found = await repository.find(self._session, client_id)
        if found is None:
            raise UnknownAccount
        return found.account

    async def page(self, after: str, limit: int) -> list[ServiceAccount]:
        return await repository.page(self._session, after, limit)

    async def rotate_secret(
        self, client_id: str, overlap: timedelta, chosen: str | None = None
    ) -> NewSecret:
        """A new secret. The one before stays good for `overlap`, so that nobody has to be fast;
        without any, tokens that it got end too.

        Repeated with the same `chosen` one, it changes nothing more; without an overlap, it ends
        the one before.
        """
        secret = chosen or secrets.token_urlsafe(SECRET_BYTES)
        if chosen and overlap and await self._has(client_id, chosen):
            return NewSecret(await self.get(client_id), chosen)
        account = await self.set_secret(client_id, secret, overlap)
        if not overlap:
            await self._revoke(account, "secret replaced")
        return NewSecret(account, secret)

    async def set_secret(
        self, client_id: str, secret: str, overlap: timedelta = timedelta()
    ) -> ServiceAccount:
        secret_hash = stored_text(secret, await self._hasher.hash(secret))
        account = await repository.replace_secret(
            self._session, client_id, secret_hash, self._clock.now(), overlap
        )
        if account is None:
            raise UnknownAccount
        await self._record(
            AuditKind.SECRET_CHANGED, account, overlap_s=int(overlap.total_seconds())
        )
        return account

    async def set_state(self, client_id: str, state: AccountState) -> ServiceAccount:
        """Suspended accounts get no new token, and those they hold end at once."""
        account = await self._change(client_id, {"state": state})
        if state == "suspended":
            await self._revoke(account, "account suspended")
        await self._record(AuditKind.ACCOUNT_CHANGED, account, state=state)
        return account

    async def change(self, client_id: str, values: dict[str, Any]) -> ServiceAccount:
        """Role, expiry, limits. Tokens say all of that, so those it holds end."""
        if not values:
            return await self.get(client_id)
        account = await self._change(client_id, values)
        await self._revoke(account, "account changed")
        told = {name: str(value) for name, value in values.items()}
        await self._record(AuditKind.ACCOUNT_CHANGED, account, **told)
        return account

    async def _has(self, client_id: str, secret: str) -> bool:
        found = await repository.find(self._session, client_id)
        return found is not None and await self._hasher.verify(hash_in(found.secret_hash), secret)

    async def _change(self, client_id: str, values: dict[str, Any]) -> ServiceAccount:
        account = await repository.change(self._session, client_id, values)
        if account is None:
            raise UnknownAccount
        return account

    async def _revoke(self, account: ServiceAccount, reason: str) -> None:
        assert self._revocations is not None, "opened for making accounts only"
        await self._revocations.revoke_subject(
            self._session, account.subject, self._audit.subject, reason
        )

    async def _record(self, kind: AuditKind, account: ServiceAccount, **details: object) -> None:
        target = Target(type="account", id=str(account.account_id))
        named = {"client_id": account.client_id, **details}
        await self._audit.record(Deed(kind, target=target, details=named))
