"""The data paths: plain routes, they are what the element does most."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from artstore.core.errors import BodyTooLarge, UnsupportedMediaType
from artstore.core.model.file import FILE_BYTES_MAX, FileRecord
from artstore.core.model.ids import FileId, parse_file_id
from artstore.core.web.authentication import check_peer
from artstore.storage.dependencies import downloads_of, intake_of
from artstore.storage.services.frame import HEAD_BYTES_MAX

FRAME_TYPE: Final = "application/vnd.artstore.file"
FILE_PATH: Final = "/api/v1/files/{file_id}"
WRITERS: Final = ("ingester", "admin")


async def put_file(request: Request) -> Response:
    """201 with the record when it is durable; 200 if exactly this file was there already."""
    check_peer(request, *WRITERS)
    if request.headers.get("content-type") != FRAME_TYPE:
        raise UnsupportedMediaType(f"the body must be {FRAME_TYPE}")
    file_id = _file_id(request)
    stored = await intake_of(request).receive(file_id, request.stream(), _length(request))
    return Response(
        stored.record_json, 201 if stored.created else 200, media_type="application/json"
    )


async def get_content(request: Request) -> Response:
    check_peer(request, "admin", "query", "storage")
    file_id = _file_id(request)
    downloads = downloads_of(request)
    if request.method == "HEAD":
        record = await downloads.head(file_id)
        headers = {**_headers(record), "Content-Length": str(record.size)}
        return Response(None, headers=headers)
    record, part, body = await downloads.open(file_id, request.headers.get("range"))
    headers = _headers(record)
    start, end = part or (0, record.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{record.size}"
    status = 206 if part is not None else 200
    if isinstance(body, bytes):
        return Response(body, status, headers)
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(body, status, headers)


def _headers(record: FileRecord) -> dict[str, str]:
    return {
        "ETag": f'"{record.sha256}"',
        "Content-Type": record.content_type,
        "Accept-Ranges": "bytes",
    }


def _file_id(request: Request) -> FileId:
    return parse_file_id(request.path_params["file_id"])


def _length(request: Request) -> int | None:
    """Of the body; the HTTP parser has checked that it is a number."""
    header = request.headers.get("content-length")
    if header is None:
        return None
    length = int(header)
    if length > FILE_BYTES_MAX + HEAD_BYTES_MAX:
        raise BodyTooLarge(f"a file may have {FILE_BYTES_MAX} bytes")
    return length


routes: Final = [
    Route(FILE_PATH, put_file, methods=["PUT"]),
    Route(f"{FILE_PATH}/content", get_content, methods=["GET", "HEAD"]),
]
