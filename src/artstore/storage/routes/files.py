"""HTTP face of records. Content: see `content`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from artstore.core.model.file import FileChange, FileRecord, Text
from artstore.core.model.ids import FileIdField
from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import RecordsDep

NDJSON = "application/x-ndjson"
PAGE_MAX = 10_000

router = APIRouter(prefix="/api/v1/files", tags=["files"])
_readers = Depends(require_peer("admin", "query"))
# Another element reads what it is told to copy, an ingester whether it stored a file before.
_askers = Depends(require_peer("admin", "ingester", "query", "storage"))
_admin = Depends(require_peer("admin"))


class DeletionRequest(BaseModel):
    """Who deletes, and why; both stay in the tombstone."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[Text, Field(min_length=1, max_length=256)]
    reason: Annotated[Text, Field(max_length=1024)] = ""


@router.get("", dependencies=[_readers], response_class=Response)
async def list_records(
    records: RecordsDep,
    after: FileIdField | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1000,
) -> Response:
    """Records as JSON lines in the order of their ids, tombstones included; an empty page
    is the end."""
    lines = await records.page(after, limit)
    return Response(b"".join(lines), media_type=NDJSON)


@router.get("/{file_id}", dependencies=[_askers], response_class=Response)
async def read_record(file_id: FileIdField, records: RecordsDep) -> Response:
    """The record, also of a deleted file."""
    record = await records.read(file_id)
    return Response(record.to_json(), media_type="application/json")


@router.patch("/{file_id}", dependencies=[_admin])
async def change_record(
    file_id: FileIdField, change: FileChange, records: RecordsDep
) -> FileRecord:
    return await records.change(file_id, change)


@router.delete("/{file_id}", dependencies=[_admin])
async def delete_file(
    file_id: FileIdField, request: DeletionRequest, records: RecordsDep
) -> FileRecord:
    """Answers with the tombstone, again and again."""
    return await records.delete(file_id, request.by, request.reason)
