"""HTTP face of resumable uploads: tus 1.0 (https://tus.io/protocols/resumable-upload).

Core, creation, creation-with-upload, expiration, checksum, termination. Translation only;
decisions are in services.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import format_datetime
from functools import wraps
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from artstore.core.errors import ArtStoreError, MethodNotAllowed, UnsupportedMediaType
from artstore.core.model.account import Caller, Scope
from artstore.core.model.open_upload import PART_TYPE
from artstore.core.web.asking import origin_of
from artstore.core.web.authentication import authenticate, check_scope
from artstore.ingester.dependencies import Ingester, ingester_of
from artstore.ingester.routes.body import RequestBody, too_large
from artstore.ingester.routes.counting import count_accepted, counting_failures
from artstore.ingester.services import tus
from artstore.ingester.services.open_uploads import UploadPart
from artstore.ingester.services.resumable import Progress
from artstore.ingester.services.submission import draft_file

PATH: Final = "/api/v1/uploads"
RECEIPT_HEADER: Final = "ArtStore-Receipt"

Endpoint = Callable[[Request], Awaitable[Response]]


def _speaking_tus(endpoint: Endpoint) -> Endpoint:
    """Refusals carry the headers of the protocol too."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            tus.check_version(request.headers.get("tus-resumable"))
            response = await endpoint(request)
        except ArtStoreError as error:
            handler = request.app.exception_handlers[ArtStoreError]
            response = await handler(request, error)
            if response.status_code == 412:
                response.headers["Tus-Version"] = tus.VERSION
        response.headers["Tus-Resumable"] = tus.VERSION
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer


async def describe(request: Request) -> Response:
    """What is spoken here; open to everybody, as the protocol asks."""
    headers = {
        "Tus-Resumable": tus.VERSION,
        "Tus-Version": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Max-Size": str(ingester_of(request).settings.upload_bytes_max),
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
    }
    return Response(status_code=204, headers=headers)


@_speaking_tus
async def create(request: Request) -> Response:
    """201 when the upload is durable; with a body, what came of it."""
    ingester = ingester_of(request)
    caller = await _writer(request)
    with counting_failures():
        size = tus.parse_number("Upload-Length", request.headers.get("upload-length"))
        if size > ingester.settings.upload_bytes_max:
            raise too_large(ingester.settings.upload_bytes_max)
        metadata = tus.UploadMetadata(request.headers.get("upload-metadata", ""))
        draft = draft_file(
            metadata.fields,
            caller=caller,
            now=ingester.clock.now(),
            content_type=metadata.content_type,
            size=size,
            expected_sha256=metadata.expected_sha256,
            origin=origin_of(request, caller, ingester.service),
        )
        limit_bytes = ingester.bytes_max(draft.collection)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        part = _part(request, ingester, 0) if _has_part(request) else None
        progress = await ingester.resumable.create(draft, size)
    async with ingester.resumable.given_up_with(progress):
        if part is not None:
            progress = await ingester.resumable.append(progress, part)
        headers = {"Location": f"{PATH}/{progress.name}"}
        return await _answer(ingester, progress, 201, headers)


@_speaking_tus
async def read_progress(request: Request) -> Response:
    ingester = ingester_of(request)
    caller = await _writer(request)
    progress = await ingester.resumable.progress(_upload_id(request), caller)
    # A sender that finds everything sent does not come again, so the file is made now.
    headers = {"Upload-Length": str(progress.state.size)}
    return await _answer(ingester, progress, 200, headers)


@_speaking_tus
async def append(request: Request) -> Response:
    """204 when the part is durable, and after the last one the file."""
    ingester = ingester_of(request)
    caller = await _writer(request)
    if not _has_part(request):
        raise UnsupportedMediaType(f"the body must be {PART_TYPE}")
    offset = tus.parse_number("Upload-Offset", request.headers.get("upload-offset"))
    part = _part(request, ingester, offset)
    progress = await ingester.resumable.progress(_upload_id(request), caller)
    progress = await ingester.resumable.append(progress, part)
    return await _answer(ingester, progress, 204)


@_speaking_tus
async def remove(request: Request) -> Response:
    caller = await _writer(request)
    await ingester_of(request).resumable.remove(_upload_id(request), caller)
    return Response(status_code=204)


async def overridden(request: Request) -> Response:
    """For senders behind something that lets no PATCH or DELETE through."""
    method = request.headers.get("x-http-method-override", "").upper()
    endpoint = {"PATCH": append, "DELETE": remove, "HEAD": read_progress}.get(method)
    if endpoint is None:
        raise MethodNotAllowed
    return await endpoint(request)


UPLOAD_PATH: Final = f"{PATH}/{{upload_id}}"
routes: Final = (
    Route(PATH, create, methods=["POST"]),
    Route(PATH, describe, methods=["OPTIONS"]),
    Route(UPLOAD_PATH, describe, methods=["OPTIONS"]),
    Route(UPLOAD_PATH, read_progress, methods=["HEAD"]),
    Route(UPLOAD_PATH, append, methods=["PATCH"]),
    Route(UPLOAD_PATH, remove, methods=["DELETE"]),
    Route(UPLOAD_PATH, overridden, methods=["POST"]),
)


async def _writer(request: Request) -> Caller:
    caller = await authenticate(request)
    check_scope(caller, Scope.FILES_WRITE)
    return caller


def _has_part(request: Request) -> bool:
    return request.headers.get("content-type") == PART_TYPE


def _part(request: Request, ingester: Ingester, offset: int) -> UploadPart:
    settings = ingester.settings
    body = RequestBody(
        request,
        limit_bytes=settings.upload_bytes_max,
        idle_timeout_s=settings.body_idle_timeout_s,
    )
    checksum = tus.parse_checksum(request.headers.get("upload-checksum"))
    return UploadPart(offset, body, checksum)


def _upload_id(request: Request) -> str:
    upload_id: str = request.path_params["upload_id"]
    return upload_id


async def _answer(
    ingester: Ingester, progress: Progress, status: int, headers: dict[str, str] | None = None
) -> Response:
    if progress.is_to_be_stored:
        progress = await _store(ingester, progress)
    state = progress.state
    headers = {"Upload-Offset": str(state.offset), **(headers or {})}
    if state.record is None:
        expires_at = state.expires_at.astimezone(UTC)
        headers["Upload-Expires"] = format_datetime(expires_at, usegmt=True)
    else:
        headers["Content-Location"] = f"/api/v1/files/{state.record.file_id}"
        if receipt := ingester.receipts.issue(state.record):
            headers[RECEIPT_HEADER] = receipt
    return Response(status_code=status, headers=headers)


async def _store(ingester: Ingester, progress: Progress) -> Progress:
    with counting_failures():
        stored = await ingester.resumable.store(progress)
    assert stored.state.record is not None
    count_accepted(stored.state.record)
    return stored
