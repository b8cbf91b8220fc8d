"""HTTP face of the signing keys. Their public halves are at `/.well-known/jwks.json`."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends

from artstore.admin.dependencies import FreshAdminDep, ResourcesDep, WhoDep
from artstore.admin.model import SigningKeyInfo
from artstore.core.model.account import Scope
from artstore.core.model.page import Page
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/jwt-keys", tags=["identity"])


@router.get("", dependencies=[Depends(require_scope(Scope.ADMIN_READ))])
async def list_keys(parts: ResourcesDep) -> Page[SigningKeyInfo]:
    return Page(items=await parts.rotation.keys(), next_cursor=None)


@router.post("/rotate")
async def rotate(
    parts: ResourcesDep,
    caller: FreshAdminDep,
    who: WhoDep,
    stolen: Annotated[bool, Body(embed=True)] = False,
) -> Page[SigningKeyInfo]:
    """The next key signs from now on. `stolen`: all keys are replaced, and all tokens end."""
    who = who.proven(caller)
    if stolen:
        return Page(items=await parts.rotation.replace_stolen(who), next_cursor=None)
    return Page(items=await parts.rotation.rotate(who), next_cursor=None)
