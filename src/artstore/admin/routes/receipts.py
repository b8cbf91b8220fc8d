"""HTTP face of deposit receipts: who may sign them, and a receipt for whoever has lost theirs."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from artstore.admin.dependencies import ReceiptKeysDep, ResourcesDep
from artstore.core.audit.receipts import PublicReceiptKey
from artstore.core.errors import ForeignFile, Unavailable
from artstore.core.model.account import Caller, Right, Scope
from artstore.core.model.ids import parse_file_id
from artstore.core.recording.receipts import PATH
from artstore.core.web.authentication import peer_of, require_peer, require_scope

router = APIRouter(tags=["receipts"])

CACHE_S: Final = 60
ReaderDep = Annotated[Caller, Depends(require_scope(Scope.FILES_READ))]


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    """An Ed25519 public key, as in a JWK."""


class GivenReceipt(BaseModel):
    file_id: str
    receipt: str


@router.post(PATH, include_in_schema=False, dependencies=[Depends(require_peer("ingester"))])
async def register_key(request: Request, body: NewKey, keys: ReceiptKeysDep) -> PublicReceiptKey:
    """A service that takes documents in names the key that it signs receipts with."""
    peer = peer_of(request.scope)
    service = f"{peer.module}/{peer.instance}" if peer else "ingester/development"
    return await keys.register(body.x, service)


@router.get("/.well-known/receipt-keys.json")
async def read_keys(keys: ReceiptKeysDep, response: Response) -> dict[str, list[PublicReceiptKey]]:
    """All that ever signed a receipt (RFC 7517)."""
    response.headers["Cache-Control"] = f"public, max-age={CACHE_S}"
    return {"keys": await keys.published()}


@router.get("/api/v1/receipts/{file_id}")
async def give_receipt(
    file_id: str, caller: ReaderDep, keys: ReceiptKeysDep, parts: ResourcesDep
) -> GivenReceipt:
    """The receipt of a deposit, signed now."""
    record = await keys.record(parse_file_id(file_id))
    now = parts.clock.now()
    if caller.grants is not None:
        if not any(caller.may(right, record.collection, now) for right in Right):
            raise ForeignFile
        caller.check(Right.READ, record.collection, now)
    receipt = parts.receipts.issue(record)
    if receipt is None:
        raise Unavailable("the key for deposit receipts is not registered yet", retry_after_s=1)
    return GivenReceipt(file_id=record.file_id, receipt=receipt)
