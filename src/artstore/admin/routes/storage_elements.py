"""HTTP face of the registry of storage elements."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from artstore.admin.dependencies import AfterParam, LimitParam, NamePath, RegistryDep, ResourcesDep
from artstore.admin.model import StorageElement
from artstore.core.errors import ArtStoreError
from artstore.core.model.account import Scope
from artstore.core.model.element import ElementEntry, ElementInfo, ElementUrl
from artstore.core.model.page import Page
from artstore.core.web.authentication import (
    authenticate,
    check_peer,
    check_scope,
    peer_of,
    require_scope,
)

router = APIRouter(prefix="/api/v1/storage-elements", tags=["storage elements"])
_write = [Depends(require_scope(Scope.ADMIN_WRITE))]

INFO_TIMEOUT_S = 2.0
PLACERS = ("ingester", "query")


async def _reader(request: Request) -> None:
    """Services that place and find files read this without a token, people with one."""
    peer = peer_of(request.scope)
    if peer is None or peer.module in PLACERS:
        check_peer(request, *PLACERS)
        return
    check_scope(await authenticate(request), Scope.ADMIN_READ)


class ElementChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: ElementUrl | None = None
    priority: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class ElementDetails(StorageElement):
    info: ElementInfo | None
    """What the element says of itself now; `None` when it does not answer."""


@router.get("", dependencies=[Depends(_reader)])
async def list_elements(
    registry: RegistryDep, after: AfterParam = "", limit: LimitParam = 100
) -> Page[StorageElement]:
    found = await registry.page(after, limit)
    return Page(items=found, next_cursor=found[-1].element_id if len(found) == limit else None)


@router.post("", status_code=201, dependencies=_write)
async def add_element(body: ElementEntry, registry: RegistryDep) -> StorageElement:
    return await registry.add(body)


@router.get("/{element_id}", dependencies=[Depends(require_scope(Scope.ADMIN_READ))])
async def read_element(
    element_id: NamePath, registry: RegistryDep, parts: ResourcesDep
) -> ElementDetails:
    element = await registry.get(element_id)
    try:
        info = await parts.element_client.info(element.url, INFO_TIMEOUT_S)
    except ArtStoreError:
        info = None
    return ElementDetails(**element.model_dump(), info=info)


@router.patch("/{element_id}", dependencies=_write)
async def change_element(
    element_id: NamePath, body: ElementChange, registry: RegistryDep
) -> StorageElement:
    return await registry.change(element_id, body.model_dump(exclude_none=True))
