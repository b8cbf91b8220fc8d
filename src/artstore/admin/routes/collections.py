"""HTTP face of collections."""

from fastapi import APIRouter, Depends

from artstore.admin.dependencies import (
    AfterParam,
    CollectionsDep,
    LimitParam,
    NamePath,
)
from artstore.core.model.account import Scope
from artstore.core.model.collection import Collection, CollectionChange, CollectionEntry
from artstore.core.model.page import Page
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/collections", tags=["collections"])
_read = [Depends(require_scope(Scope.ADMIN_READ))]
_write = [Depends(require_scope(Scope.ADMIN_WRITE))]


@router.get("", dependencies=_read)
async def list_collections(
    collections: CollectionsDep, after: AfterParam = "", limit: LimitParam = 100
) -> Page[Collection]:
    """Those with rules of their own; any other name has the defaults."""
    found = await collections.page(after, limit)
    return Page(items=found, next_cursor=found[-1].collection if len(found) == limit else None)


@router.post("", status_code=201, dependencies=_write)
async def add_collection(body: CollectionEntry, collections: CollectionsDep) -> Collection:
    return await collections.add(body)


@router.get("/{name}", dependencies=_read)
async def read_collection(name: NamePath, collections: CollectionsDep) -> Collection:
    return await collections.get(name)


@router.patch("/{name}", dependencies=_write)
async def change_collection(
    name: NamePath, body: CollectionChange, collections: CollectionsDep
) -> Collection:
    """Asking for two copies begins to make them; asking for one deletes nothing."""
    return await collections.change(name, body)
