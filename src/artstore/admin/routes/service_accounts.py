"""HTTP face of service accounts."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from artstore.admin.dependencies import (
    AfterParam,
    FreshAdminDep,
    LimitParam,
    NamePath,
    ServiceAccountsDep,
    require_recent_proof,
)
from artstore.admin.model import ServiceAccount
from artstore.admin.services.identity.service_accounts import (
    OVERLAP_MAX,
    SECRET_CHARS_MIN,
    NewSecret,
)
from artstore.core.errors import InvalidRequest, NotPermitted
from artstore.core.model.account import ACCOUNT_SCOPES, AccountRole, Caller, ClientId, Scope
from artstore.core.model.moments import Moment
from artstore.core.model.page import Page
from artstore.core.secrets.strength import weakness
from artstore.core.web.authentication import require_scope, require_scope_everywhere

router = APIRouter(prefix="/api/v1/service-accounts", tags=["service accounts"])
_read = [Depends(require_scope(Scope.ADMIN_READ))]
RequestsPerMinute = Annotated[int, Field(ge=1, le=1_000_000)]
_write = [Depends(require_recent_proof(require_scope_everywhere(Scope.ADMIN_WRITE)))]


class NewAccount(BaseModel):
    client_id: ClientId
    role: AccountRole
    expires_at: Moment | None = None
    requests_per_minute: RequestsPerMinute | None = None
    restricted: bool = False
    """Only what grants allow; it begins with none."""


class AccountChange(BaseModel):
    """What is not named stays. `null` lifts an expiry or a limit."""

    model_config = ConfigDict(extra="forbid")

    role: AccountRole = AccountRole.READONLY
    expires_at: Moment | None = None
    requests_per_minute: RequestsPerMinute | None = None
    restricted: bool = False


class SecretChange(BaseModel):
    overlap_s: Annotated[int, Field(ge=0, le=int(OVERLAP_MAX.total_seconds()))] = 0
    """So long the secret before stays good too."""
    secret: Annotated[SecretStr, Field(min_length=SECRET_CHARS_MIN, max_length=256)] | None = None
    """Chosen by the caller, who may then repeat a request whose answer was lost."""


class AccountWithSecret(ServiceAccount):
    client_secret: str


@router.post("", status_code=201)
async def create(
    body: NewAccount, caller: FreshAdminDep, accounts: ServiceAccountsDep, response: Response
) -> AccountWithSecret:
    """The secret is shown this once."""
    _check_within(caller, body.role)
    made = await accounts.create(
        body.client_id,
        body.role,
        caller.subject,
        expires_at=body.expires_at,
        requests_per_minute=body.requests_per_minute,
        restricted=body.restricted,
    )
    return _shown_once(made, response)


@router.get("", dependencies=_read)
async def list_accounts(
    accounts: ServiceAccountsDep, after: AfterParam = "", limit: LimitParam = 100
) -> Page[ServiceAccount]:
    found = await accounts.page(after, limit)
    return Page(items=found, next_cursor=found[-1].client_id if len(found) == limit else None)


@router.get("/{client_id}", dependencies=_read)
async def read_account(client_id: NamePath, accounts: ServiceAccountsDep) -> ServiceAccount:
    return await accounts.get(client_id)


@router.patch("/{client_id}")
async def change_account(
    client_id: NamePath, body: AccountChange, caller: FreshAdminDep, accounts: ServiceAccountsDep
) -> ServiceAccount:
    """In force with the next token; those the account holds end."""
    _check_within(caller, body.role, (await accounts.get(client_id)).role)
    return await accounts.change(client_id, body.model_dump(exclude_unset=True))


@router.post("/{client_id}/rotate-secret")
async def rotate_secret(
    client_id: NamePath,
    caller: FreshAdminDep,
    accounts: ServiceAccountsDep,
    response: Response,
    body: SecretChange | None = None,
) -> AccountWithSecret:
    """The new secret is shown this once. The old one is refused from now on, or after the overlap
    that is asked for."""
    _check_within(caller, (await accounts.get(client_id)).role)
    overlap = timedelta(seconds=body.overlap_s if body else 0)
    chosen = body.secret.get_secret_value() if body and body.secret else None
    if chosen is not None and (weak := weakness(chosen)):
        raise InvalidRequest(f"the secret is weak: {weak}", field="secret")
    return _shown_once(await accounts.rotate_secret(client_id, overlap, chosen), response)


@router.delete("/{client_id}", dependencies=_write)
async def suspend(client_id: NamePath, accounts: ServiceAccountsDep) -> ServiceAccount:
    """Accounts are never erased: records of decades name them."""
    return await accounts.set_state(client_id, "suspended")


@router.post("/{client_id}/resume", dependencies=_write)
async def resume(client_id: NamePath, accounts: ServiceAccountsDep) -> ServiceAccount:
    return await accounts.set_state(client_id, "active")


def _check_within(caller: Caller, *roles: AccountRole) -> None:
    """
    Raises:
        NotPermitted: Whoever holds the account's secret could do more than the caller.
    """
    for role in roles:
        if beyond := ACCOUNT_SCOPES[role] - caller.scopes:
            raise NotPermitted(
                f"accounts of the role {role} may do what you may not: {', '.join(sorted(beyond))}"
            )


def _shown_once(made: NewSecret, response: Response) -> AccountWithSecret:
    response.headers["Cache-Control"] = "no-store"
    return AccountWithSecret(**dict(made.account), client_secret=made.secret)
