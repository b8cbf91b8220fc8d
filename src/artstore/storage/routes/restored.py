"""HTTP face of restored copies. Making one: see `copies`; reading it: see `content`."""

from fastapi import APIRouter, Depends

from artstore.core.model.ids import FileIdField
from artstore.core.model.restored import RestoredCopy
from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import EngineDep

router = APIRouter(
    prefix="/api/v1/restored", tags=["restored"], dependencies=[Depends(require_peer("admin"))]
)


@router.get("/{file_id}")
def read_restored(file_id: FileIdField, engine: EngineDep) -> RestoredCopy:
    """Whose copy it is and until when it stays."""
    return engine.restored.find(file_id)


@router.delete("/{file_id}", status_code=204)
def remove_restored(file_id: FileIdField, engine: EngineDep) -> None:
    """When its time is over, by this element's clock; again is the same as once."""
    engine.restored.remove(file_id)
