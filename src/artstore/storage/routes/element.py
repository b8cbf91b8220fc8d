"""HTTP face of the element itself."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from artstore.core.model.element import ElementInfo, StorageMode
from artstore.core.model.file import Text
from artstore.core.tracing import current_trace_id
from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import EngineDep

router = APIRouter(prefix="/api/v1", tags=["element"])
_SERVICES = ("admin", "ingester", "query", "storage", "monitoring", "operator")


class ModeRequest(BaseModel):
    """Who asks, why, and that it is meant: all of it stays in the log."""

    model_config = ConfigDict(extra="forbid")

    mode: StorageMode
    by: Annotated[Text, Field(min_length=1, max_length=256)]
    reason: Annotated[Text, Field(max_length=1024)] = ""
    confirm: bool = False


@router.get("/info", dependencies=[Depends(require_peer(*_SERVICES))])
async def read_info(engine: EngineDep) -> ElementInfo:
    return engine.info()


@router.post("/mode", dependencies=[Depends(require_peer("admin"))])
def change_mode(request: ModeRequest, engine: EngineDep) -> ElementInfo:
    """`rw -> ro -> ar`, or `ro` back to `rw`; durable and in the log before it is answered.

    Without `confirm`, 409 says what the change means.
    """
    engine.modes.change(
        request.mode,
        by=request.by,
        reason=request.reason,
        confirmed=request.confirm,
        trace=current_trace_id(),
    )
    return engine.info()
