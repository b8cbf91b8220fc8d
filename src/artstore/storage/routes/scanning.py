"""HTTP face of scanning what is stored. Internal: the admin module orders it."""

from fastapi import APIRouter, Depends

from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileIdField
from artstore.core.model.scan import ScannerState, ScanOrder
from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import ScansDep

router = APIRouter(prefix="/api/v1", dependencies=[Depends(require_peer("admin"))])


@router.get("/scanner")
async def read_scanner(scans: ScansDep) -> ScannerState:
    return await scans.state()


@router.post("/files/{file_id}/scan")
async def scan_file(file_id: FileIdField, order: ScanOrder, scans: ScansDep) -> FileRecord:
    """Answers with the record when what was found is durable in it."""
    return await scans.scan(file_id, order.unscanned)
