"""Service accounts: machines that get tokens with a client id and a secret."""

import secrets
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import AccountState, ServiceAccount
from artstore.admin.repository import service_accounts as repository
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.core.clock import Clock
from artstore.core.errors import NameTaken, UnknownAccount
from artstore.core.model.account import AccountRole
from artstore.core.model.audit import AuditKind, Target

SECRET_BYTES: Final = 32


@dataclass(frozen=True)
class NewSecret:
    """The only time the secret is seen: what is kept is its hash."""

    account: ServiceAccount
    secret: str


class ServiceAccounts:
    def __init__(
        self, session: AsyncSession, hasher: SecretHasher, clock: Clock, audit: BoundTrail
    ) -> None:
        """`audit` writes in the transaction of `session`."""
        self._session = session
        self._hasher = hasher
        self._clock = clock
        self._audit = audit

    async def create(self, client_id: str, role: AccountRole, created_by: str) -> NewSecret:
        """
        Raises:
            NameTaken: There is such an account, perhaps suspended.
        """
        secret = secrets.token_urlsafe(SECRET_BYTES)
        account = await self.create_with(client_id, role, created_by, secret)
        return NewSecret(account, secret)

    async def create_with(
        self, client_id: str, role: AccountRole, created_by: str, secret: str
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
        )
        # Hashed before the first statement: no transaction stays open meanwhile.
        secret_hash = await self._hasher.hash(secret)
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

    async def rotate_secret(self, client_id: str) -> NewSecret:
        """A new secret; the old one is worth nothing from now on."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        return NewSecret(await self.set_secret(client_id, secret), secret)

    async def set_secret(self, client_id: str, secret: str) -> ServiceAccount:
        values = {
            "secret_hash": await self._hasher.hash(secret),
            "secret_changed_at": self._clock.now(),
        }
        account = await self._change(client_id, values)
        await self._record(AuditKind.SECRET_CHANGED, account)
        return account

    async def set_state(self, client_id: str, state: AccountState) -> ServiceAccount:
        """Suspended accounts get no new token; those they hold end by themselves."""
        account = await self._change(client_id, {"state": state})
        await self._record(AuditKind.ACCOUNT_CHANGED, account, state=state)
        return account

    async def _change(self, client_id: str, values: dict[str, object]) -> ServiceAccount:
        account = await repository.change(self._session, client_id, values)
        if account is None:
            raise UnknownAccount
        return account

    async def _record(self, kind: AuditKind, account: ServiceAccount, **details: str) -> None:
        target = Target(type="account", id=str(account.account_id))
        named = {"client_id": account.client_id, **details}
        await self._audit.record(Deed(kind, target=target, details=named))
