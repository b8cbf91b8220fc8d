"""The data paths: plain routes, they are what the element does most."""

from collections.abc import Mapping
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from artstore.core.errors import ArtStoreError, BodyTooLarge, InvalidRequest, UnsupportedMediaType
from artstore.core.logging import note
from artstore.core.model.batch import BATCH_BYTES_MAX, BATCH_TYPE, HEAD_BYTES_MAX
from artstore.core.model.file import FILE_BYTES_MAX, FileRecord
from artstore.core.model.ids import FileId, parse_file_id
from artstore.core.web.authentication import check_peer
from artstore.core.web.hot import ARRIVED_EXTENSION, PlainAnswer, read_whole
from artstore.core.web.problems import line_of
from artstore.storage.dependencies import batch_intake_of, downloads_of, intake_of
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.routes.files import NDJSON

FRAME_TYPE: Final = b"application/vnd.artstore.file"
_BATCH_TYPE: Final = BATCH_TYPE.encode()
_NDJSON: Final = NDJSON.encode()
FILE_PATH: Final = "/api/v1/files/{file_id}"
WRITERS: Final = ("ingester", "admin")


async def put_file(request: Request) -> Response:
    """201 with the record when it is durable; 200 if exactly this file was there already."""
    check_peer(request, *WRITERS)
    headers = dict(request.scope["headers"])
    if headers.get(b"content-type") != FRAME_TYPE:
        raise UnsupportedMediaType(f"the body must be {FRAME_TYPE.decode()}")
    file_id = _file_id(request)
    intake = intake_of(request)
    length = _length(headers)
    if length is not None and length <= intake.whole_body_bytes_max:
        stored = await intake.receive_whole(file_id, await _body(request))
    else:
        stored = await intake.receive(file_id, request.stream(), length)
    return PlainAnswer(stored.record_json, _status(stored))


async def put_files(request: Request) -> Response:
    """Many small files at once; one line of JSON says what became of each."""
    check_peer(request, *WRITERS)
    headers = dict(request.scope["headers"])
    if headers.get(b"content-type") != _BATCH_TYPE:
        raise UnsupportedMediaType(f"the body must be {BATCH_TYPE}")
    length = _length(headers)
    if length is None:
        raise InvalidRequest("a batch needs a Content-Length", field="content-length")
    if length > BATCH_BYTES_MAX:
        raise BodyTooLarge(f"a batch may have {BATCH_BYTES_MAX} bytes")
    batches = batch_intake_of(request)
    batches.check()
    outcomes = await batches.receive(await _body(request))
    note(files=len(outcomes))
    return PlainAnswer(b"".join(map(_line, outcomes)), 200, media_type=_NDJSON)


async def _body(request: Request) -> bytes:
    """As `read_whole`, which most bodies need not wait for: they are here already."""
    take_arrived = request.scope.get("extensions", {}).get(ARRIVED_EXTENSION)
    arrived: bytes | None = take_arrived() if take_arrived is not None else None
    return await read_whole(request) if arrived is None else arrived


def _status(stored: Stored) -> int:
    return 201 if stored.created else 200


def _line(outcome: Outcome) -> bytes:
    if isinstance(outcome, ArtStoreError):
        return orjson.dumps(line_of(outcome), default=str) + b"\n"
    return b'{"status":%d,"record":%b}\n' % (_status(outcome), outcome.record_json[:-1])


async def get_content(request: Request) -> Response:
    check_peer(request, "admin", "query", "storage")
    file_id = _file_id(request)
    downloads = downloads_of(request)
    from_archive = request.query_params.get("from_archive") == "true"
    if request.method == "HEAD":
        record = await downloads.head(file_id, from_archive=from_archive)
        headers = {**_headers(record), "Content-Length": str(record.size)}
        return Response(None, headers=headers)
    record, part, body = await downloads.open(
        file_id, request.headers.get("range"), from_archive=from_archive
    )
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


def _length(headers: Mapping[bytes, bytes]) -> int | None:
    """Of the body; the HTTP parser has checked that it is a number."""
    header = headers.get(b"content-length")
    if header is None:
        return None
    length = int(header)
    if length > FILE_BYTES_MAX + HEAD_BYTES_MAX:
        raise BodyTooLarge(f"a file may have {FILE_BYTES_MAX} bytes")
    return length


hot_routes: Final = [
    Route(FILE_PATH, put_file, methods=["PUT"]),
    Route("/api/v1/files:batch", put_files, methods=["POST"]),
]
routes: Final = [
    *hot_routes,
    Route(f"{FILE_PATH}/content", get_content, methods=["GET", "HEAD"]),
]
