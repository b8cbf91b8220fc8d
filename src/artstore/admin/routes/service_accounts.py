"""HTTP face of service accounts."""

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from artstore.admin.dependencies import (
    AdminDep,
    AfterParam,
    LimitParam,
    NamePath,
    ServiceAccountsDep,
)
from artstore.admin.model import ServiceAccount
from artstore.admin.services.identity.service_accounts import NewSecret
from artstore.core.model.account import AccountRole, ClientId, Scope
from artstore.core.model.page import Page
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/service-accounts", tags=["service accounts"])
_read = [Depends(require_scope(Scope.ADMIN_READ))]
_write = [Depends(require_scope(Scope.ADMIN_WRITE))]


class NewAccount(BaseModel):
    client_id: ClientId
    role: AccountRole


class AccountWithSecret(ServiceAccount):
    client_secret: str


@router.post("", status_code=201)
async def create(
    body: NewAccount, caller: AdminDep, accounts: ServiceAccountsDep, response: Response
) -> AccountWithSecret:
    """The secret is shown this once."""
    return _shown_once(await accounts.create(body.client_id, body.role, caller.subject), response)


@router.get("", dependencies=_read)
async def list_accounts(
    accounts: ServiceAccountsDep, after: AfterParam = "", limit: LimitParam = 100
) -> Page[ServiceAccount]:
    found = await accounts.page(after, limit)
    return Page(items=found, next_cursor=found[-1].client_id if len(found) == limit else None)


@router.get("/{client_id}", dependencies=_read)
async def read_account(client_id: NamePath, accounts: ServiceAccountsDep) -> ServiceAccount:
    return await accounts.get(client_id)


@router.post("/{client_id}/rotate-secret", dependencies=_write)
async def rotate_secret(
    client_id: NamePath, accounts: ServiceAccountsDep, response: Response
) -> AccountWithSecret:
    """The old secret is refused from now on; the new one is shown this once."""
    return _shown_once(await accounts.rotate_secret(client_id), response)


@router.delete("/{client_id}", dependencies=_write)
async def suspend(client_id: NamePath, accounts: ServiceAccountsDep) -> ServiceAccount:
    """Accounts are never erased: records of decades name them."""
    return await accounts.set_state(client_id, "suspended")


@router.post("/{client_id}/resume", dependencies=_write)
async def resume(client_id: NamePath, accounts: ServiceAccountsDep) -> ServiceAccount:
    return await accounts.set_state(client_id, "active")


def _shown_once(made: NewSecret, response: Response) -> AccountWithSecret:
    response.headers["Cache-Control"] = "no-store"
    return AccountWithSecret(**made.account.model_dump(), client_secret=made.secret)
