"""HTTP face of one file: its record and its bytes. Translation only."""

from base64 import b64encode
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from artstore.core.model.account import Scope
from artstore.core.model.collection import FileCopy
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileIdField, parse_file_id
from artstore.core.model.page import Page
from artstore.core.web.asking import who_asks
from artstore.core.web.authentication import authenticate, check_scope
from artstore.core.web.ranges import parse_range
from artstore.query.dependencies import FilesDep, VisibleDep, query_of, visible_to
from artstore.query.routes.relay import ContentRelay
from artstore.query.services.conditions import has_current, http_date, not_modified, wanted_range
from artstore.query.services.disposition import attachment
from artstore.query.services.downloads import download
from artstore.query.services.files import check_quarantine

# A copy may be kept, but must be asked about: the file may be deleted, the right withdrawn.
CACHE_CONTROL: Final = "private, no-cache"

router = APIRouter(prefix="/api/v1/files", tags=["files"])


@router.head("/{file_id}", include_in_schema=False)
@router.get("/{file_id}", response_model=FileRecord)
async def read_record(
    file_id: FileIdField, files: FilesDep, request: Request, visible: VisibleDep
) -> Response:
    """Metadata of one file, as its attr.json holds it. The ETag is its revision."""
    located = await files.locate(file_id, visible)
    etag = f'"{located.revision}"'
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL}
    if has_current(request.headers, etag):
        return Response(status_code=304, headers=headers)
    return Response(located.raw, media_type="application/json", headers=headers)


@router.get("/{file_id}/copies")
async def list_copies(file_id: FileIdField, files: FilesDep, visible: VisibleDep) -> Page[FileCopy]:
    """Where the file lies, and whether it is whole there."""
    return Page(items=await files.copies(file_id, visible))


async def read_content(request: Request) -> Response:
    """The file's bytes. The ETag is its SHA-256, so `Range` with `If-Range` resumes safely."""
    caller = await authenticate(request)
    check_scope(caller, Scope.FILES_READ)
    file_id = parse_file_id(request.path_params["file_id"])
    query = query_of(request)
    located = await query.files.locate(file_id, visible_to(request, caller))
    record = located.record
    check_quarantine(record)
    headers = content_headers(record)
    if not_modified(request.headers, headers["ETag"], record.uploaded_at):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(record.size)})
    header = wanted_range(request.headers, headers["ETag"], record.uploaded_at)
    byte_range = parse_range(header, record.size)
    who = who_asks(request).proven(caller)
    return ContentRelay(
        record,
        byte_range,
        headers,
        lambda: query.elements.open(located.element_id, record, byte_range),
        write_down=lambda element_id: query.reports.record(
            who, download(record, element_id, byte_range)
        ),
        idle_timeout_s=query.settings.download_idle_timeout_s,
    )


content_route: Final = Route("/api/v1/files/{file_id}/content", read_content, methods=["GET"])


def content_headers(record: FileRecord) -> dict[str, str]:
    digest = b64encode(bytes.fromhex(record.sha256)).decode()
    return {
        "ETag": f'"{record.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Last-Modified": http_date(record.uploaded_at),
        "Accept-Ranges": "bytes",
        "Cache-Control": CACHE_CONTROL,
        "Content-Type": record.content_type,
        "Content-Disposition": attachment(record.original_filename),
        # What somebody uploaded must never run as a page of ours.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
