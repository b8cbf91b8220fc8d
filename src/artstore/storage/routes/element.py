"""HTTP face of the element itself."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from artstore.core.model.element import ElementInfo, StorageMode
from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import EngineDep

router = APIRouter(prefix="/api/v1", tags=["element"])
_SERVICES = ("admin", "ingester", "query", "storage", "monitoring", "operator")


class ModeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mode: StorageMode


@router.get("/info", dependencies=[Depends(require_peer(*_SERVICES))])
async def read_info(engine: EngineDep) -> ElementInfo:
    return engine.info()


@router.post("/mode", dependencies=[Depends(require_peer("admin"))])
def change_mode(request: ModeRequest, engine: EngineDep) -> ElementInfo:
    """One-way `rw -> ro -> ar`; durable before it is answered."""
    engine.set_mode(request.mode)
    return engine.info()
