"""HTTP face of collections."""

from typing import Annotated

from fastapi import APIRouter, Depends

from artstore.admin.dependencies import (
    AfterParam,
    CollectionsDep,
    LimitParam,
    NamePath,
)
from artstore.core.model.account import Caller, Scope
from artstore.core.model.collection import Collection, CollectionChange, CollectionEntry
from artstore.core.model.page import Page
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/collections", tags=["collections"])
_read = [Depends(require_scope(Scope.ADMIN_READ))]
WriterDep = Annotated[Caller, Depends(require_scope(Scope.ADMIN_WRITE))]


@router.get("", dependencies=_read)
async def list_collections(
    collections: CollectionsDep, after: AfterParam = "", limit: LimitParam = 100
) -> Page[Collection]:
    """Those with rules of their own; any other name has the defaults."""
    found = await collections.page(after, limit)
    return Page(items=found, next_cursor=found[-1].collection if len(found) == limit else None)


@router.post("", status_code=201)
async def add_collection(
    body: CollectionEntry, caller: WriterDep, collections: CollectionsDep
) -> Collection:
    return await collections.add(body, caller)


@router.get("/{name}", dependencies=_read)
async def read_collection(name: NamePath, collections: CollectionsDep) -> Collection:
    return await collections.get(name)


@router.patch("/{name}")
async def change_collection(
    name: NamePath, body: CollectionChange, caller: WriterDep, collections: CollectionsDep
) -> Collection:
    """Asking for two copies begins to make them; asking for one deletes nothing."""
    return await collections.change(name, body, caller)
