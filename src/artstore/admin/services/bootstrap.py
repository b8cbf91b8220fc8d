"""What a new installation begins with. May be repeated: it adds, and overwrites no choice.

People's passwords are set once. Secrets of the accounts in the plan follow their files: the
stack that wrote the plan owns them.
"""

from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import User, Username
from artstore.admin.repository import service_accounts, users
from artstore.admin.services.audit.trail import BoundTrail, Deed, Trail, Who
from artstore.admin.services.catalogue.registry import Registry
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.admin.services.identity.machine_secrets import hash_in
from artstore.admin.services.identity.service_accounts import SECRET_CHARS_MIN, ServiceAccounts
from artstore.core.clock import Clock
from artstore.core.errors import NameTaken
from artstore.core.logging import get_logger
from artstore.core.model.account import AccountRole, ClientId, UserRole
from artstore.core.model.audit import AuditKind, Target
from artstore.core.model.element import ElementEntry
from artstore.core.settings import ConfigurationError, read_secret

CREATED_BY = "bootstrap"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AdminPlan(_Part):
    username: Username
    password_file: Path


class AccountPlan(_Part):
    client_id: ClientId
    role: AccountRole
    secret_file: Path


class Plan(_Part):
    """Relative paths count from the folder of the plan."""

    admin: AdminPlan
    service_accounts: tuple[AccountPlan, ...] = ()
    storage_elements: tuple[ElementEntry, ...] = ()


def read_plan(path: Path) -> Plan:
    """
    Raises:
        ConfigurationError: The plan cannot be read or says something unknown.
    """
    try:
        plan = Plan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{path}: not a plan ({error})") from error
    folder = path.parent
    admin = plan.admin.model_copy(update={"password_file": folder / plan.admin.password_file})
    accounts = tuple(
        account.model_copy(update={"secret_file": folder / account.secret_file})
        for account in plan.service_accounts
    )
    return plan.model_copy(update={"admin": admin, "service_accounts": accounts})


class Bootstrap:
    def __init__(
        self, session: AsyncSession, hasher: SecretHasher, clock: Clock, trail: Trail
    ) -> None:
        self._session = session
        self._hasher = hasher
        self._clock = clock
        self._audit = BoundTrail(trail, session, Who(name=CREATED_BY))

    async def apply(self, plan: Plan) -> None:
        await self._ensure_admin(plan.admin)
        for account in plan.service_accounts:
            await self._ensure_account(account)
        for element in plan.storage_elements:
            await self._ensure_element(element)

    async def _ensure_admin(self, plan: AdminPlan) -> None:
        if await users.find(self._session, plan.username) is not None:
            return
        now = self._clock.now()
        user = User(
            user_id=uuid4(),
            username=plan.username,
            role=UserRole.SUPER_ADMIN,
            state="active",
            password_change_required=True,
            created_at=now,
            password_changed_at=now,
        )
        password = read_secret(plan.password_file)
        if await users.add(self._session, user, await self._hasher.hash(password)):
            target = Target(type="user", id=str(user.user_id))
            details = {"role": user.role}
            await self._audit.record(
                Deed(AuditKind.ACCOUNT_CREATED, target=target, details=details)
            )
            get_logger().info("user made", role=user.role)

    async def _ensure_account(self, plan: AccountPlan) -> None:
        secret = read_secret(plan.secret_file)
        if len(secret) < SECRET_CHARS_MIN:
            raise ConfigurationError(
                f"{plan.secret_file}: a secret has at least {SECRET_CHARS_MIN} random characters"
            )
        accounts = ServiceAccounts(self._session, self._hasher, None, self._clock, self._audit)
        found = await service_accounts.find(self._session, plan.client_id)
        if found is None:
            await accounts.create_with(plan.client_id, plan.role, CREATED_BY, secret)
            get_logger().info("service account made", client_id=plan.client_id, role=plan.role)
        elif not await self._hasher.verify(hash_in(found.secret_hash), secret):
            await accounts.set_secret(plan.client_id, secret)
            get_logger().info("secret follows its file", client_id=plan.client_id)

    async def _ensure_element(self, plan: ElementEntry) -> None:
        registry = Registry(self._session, self._audit)
        try:
            await registry.add(plan)
        except NameTaken:
            known = await registry.get(plan.element_id)
            if known.url != plan.url:
                # The address belongs to the installation; the priority is the operator's choice.
                await registry.change(plan.element_id, {"url": plan.url})
