"""HTTP face of the scrub."""

from fastapi import APIRouter, Depends

from artstore.core.model.scrub import ScrubRequest, ScrubStatus
from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import EngineDep

router = APIRouter(prefix="/api/v1/scrub", tags=["scrub"])


@router.get("", dependencies=[Depends(require_peer("admin", "monitoring", "operator"))])
async def read_scrub(engine: EngineDep) -> ScrubStatus:
    """How far it is, and what is open."""
    return engine.scrub.status()


@router.post("", dependencies=[Depends(require_peer("admin"))])
def command_scrub(request: ScrubRequest, engine: EngineDep) -> ScrubStatus:
    """In force, also after a restart, when it is answered. Pausing what does not run, or
    resuming what is not paused, changes nothing."""
    return engine.scrub.command(request)
