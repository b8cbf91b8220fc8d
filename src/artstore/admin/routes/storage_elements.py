"""HTTP face of the registry of storage elements."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from artstore.admin.dependencies import (
    AdminDep,
    AfterParam,
    ElementsDep,
    LimitParam,
    NamePath,
    RegistryDep,
    WhoDep,
)
from artstore.admin.model import StorageElement
from artstore.admin.services.elements import DrainOrder, ElementStatus
from artstore.core.model.account import Scope
from artstore.core.model.element import ElementEntry, ElementInfo, ElementUrl, StorageMode
from artstore.core.model.file import Text
from artstore.core.model.page import Page
from artstore.core.model.scrub import ScrubRequest, ScrubStatus
from artstore.core.web.authentication import (
    authenticate,
    check_peer,
    check_scope,
    peer_of,
    require_scope,
    require_scope_everywhere,
)

router = APIRouter(prefix="/api/v1/storage-elements", tags=["storage elements"])
_read = [Depends(require_scope(Scope.ADMIN_READ))]
_write = [Depends(require_scope_everywhere(Scope.ADMIN_WRITE))]

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


class ModeChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mode: StorageMode
    reason: Annotated[Text, Field(min_length=1, max_length=1024)]
    confirm: bool = False
    """Without it the answer says what the change means."""


@router.get("", dependencies=[Depends(_reader)])
async def list_elements(
    registry: RegistryDep, after: AfterParam = "", limit: LimitParam = 100
) -> Page[StorageElement]:
    """The registry alone: services read it every few seconds."""
    found = await registry.page(after, limit)
    return Page(items=found, next_cursor=found[-1].element_id if len(found) == limit else None)


# An element id has no colon.
@router.get(":status", dependencies=_read)
async def list_status(
    elements: ElementsDep, after: AfterParam = "", limit: LimitParam = 100
) -> Page[ElementStatus]:
    """With what each element says of itself now: mode, capacity, scrub, and how far the
    catalogue and a drain are."""
    found = await elements.page(after, limit)
    return Page(items=found, next_cursor=found[-1].element_id if len(found) == limit else None)


@router.post("", status_code=201, dependencies=_write)
async def add_element(body: ElementEntry, registry: RegistryDep) -> StorageElement:
    return await registry.add(body)


@router.get("/{element_id}", dependencies=_read)
async def read_element(element_id: NamePath, elements: ElementsDep) -> ElementStatus:
    return await elements.get(element_id)


@router.patch("/{element_id}", dependencies=_write)
async def change_element(
    element_id: NamePath, body: ElementChange, registry: RegistryDep
) -> StorageElement:
    return await registry.change(element_id, body.model_dump(exclude_none=True))


@router.post("/{element_id}/mode")
async def change_mode(
    element_id: NamePath, body: ModeChange, caller: AdminDep, elements: ElementsDep, who: WhoDep
) -> ElementInfo:
    """`rw -> ro -> ar`, or `ro` back to `rw`. The element has it on its disk when this answers."""
    return await elements.set_mode(
        element_id, body.mode, body.reason, confirm=body.confirm, who=who.proven(caller)
    )


@router.get("/{element_id}/scrub", dependencies=_read)
async def read_scrub(element_id: NamePath, elements: ElementsDep) -> ScrubStatus:
    return await elements.scrub_status(element_id)


@router.post("/{element_id}/scrub")
async def scrub(
    element_id: NamePath,
    body: ScrubRequest,
    caller: AdminDep,
    elements: ElementsDep,
    who: WhoDep,
) -> ScrubStatus:
    """Start, pause or resume reading every byte."""
    return await elements.scrub(element_id, body, who.proven(caller))


@router.post("/{element_id}/drain")
async def drain(
    element_id: NamePath, body: DrainOrder, caller: AdminDep, elements: ElementsDep, who: WhoDep
) -> StorageElement:
    """Copy all its files to others, and give it no new ones. Nothing on it is deleted."""
    return await elements.drain(element_id, on=body.on, who=who.proven(caller))


@router.delete("/{element_id}", status_code=204)
async def remove_element(
    element_id: NamePath, caller: AdminDep, elements: ElementsDep, who: WhoDep
) -> None:
    """Only when it is drained. What is on its disk stays there."""
    await elements.remove(element_id, who.proven(caller))
