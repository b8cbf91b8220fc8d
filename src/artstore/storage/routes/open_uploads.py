"""HTTP face of uploads that come in parts. Internal: ingesters speak tus to the world."""

from typing import Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from artstore.core.errors import InvalidRequest, UnsupportedMediaType
from artstore.core.model.completion import Completion
from artstore.core.model.file import ATTR_BYTES_MAX
from artstore.core.model.findings import told
from artstore.core.model.ids import FileId, parse_file_id
from artstore.core.model.open_upload import (
    PART_TYPE,
    ChecksumAlgorithm,
    NewOpenUpload,
)
from artstore.core.web.authentication import check_peer
from artstore.core.web.hot import PlainAnswer
from artstore.storage.dependencies import open_uploads_of
from artstore.storage.engine.open_upload import Checksum

PATH: Final = "/api/v1/open-uploads/{file_id}"
_HEAD_BYTES_MAX: Final = ATTR_BYTES_MAX + 4096

M = TypeVar("M", bound=BaseModel)


class _PartQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    offset: int = Field(ge=0)
    expires_at: AwareDatetime
    checksum_algorithm: ChecksumAlgorithm | None = None
    checksum: str = Field(default="", pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")

    def expected(self) -> Checksum | None:
        if self.checksum_algorithm is None:
            return None
        return Checksum(self.checksum_algorithm, bytes.fromhex(self.checksum))


class _Stretch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, ge=0)


async def create(request: Request) -> Response:
    file_id = _admitted(request)
    new = await _model(NewOpenUpload, request)
    await open_uploads_of(request).create(file_id, new)
    return Response(status_code=201)


async def read_state(request: Request) -> Response:
    state = await open_uploads_of(request).state(_admitted(request))
    return PlainAnswer(state.model_dump_json().encode(), 200)


async def append(request: Request) -> Response:
    """200 with the new state when the bytes are durable."""
    file_id = _admitted(request)
    if request.headers.get("content-type") != PART_TYPE:
        raise UnsupportedMediaType(f"the body must be {PART_TYPE}")
    query = _checked(_PartQuery, dict(parse_qsl(request.url.query)))
    state = await open_uploads_of(request).append(
        file_id,
        query.offset,
        request.stream(),
        checksum=query.expected(),
        expires_at=query.expires_at,
    )
    return PlainAnswer(state.model_dump_json().encode(), 200)


async def read_content(request: Request) -> Response:
    """The bytes that came so far, or a stretch of them."""
    file_id = _admitted(request)
    stretch = _checked(_Stretch, dict(request.query_params))
    uploads = open_uploads_of(request)
    await uploads.state(file_id)
    body = uploads.read(file_id, stretch.start, stretch.stop)
    return StreamingResponse(body, media_type="application/octet-stream")


async def complete(request: Request) -> Response:
    """201 with the record when the file is durable; 200 if it was already."""
    file_id = _admitted(request)
    completion = await _model(Completion, request)
    stored = await open_uploads_of(request).complete(file_id, completion)
    return PlainAnswer(stored.record_json, 201 if stored.created else 200)


async def remove(request: Request) -> Response:
    await open_uploads_of(request).remove(_admitted(request))
    return Response(status_code=204)


routes: Final = [
    Route(PATH, create, methods=["POST"]),
    Route(PATH, read_state, methods=["GET"]),
    Route(PATH, append, methods=["PATCH"]),
    Route(PATH, remove, methods=["DELETE"]),
    Route(f"{PATH}/content", read_content, methods=["GET"]),
    Route(f"{PATH}/complete", complete, methods=["POST"]),
]


def _admitted(request: Request) -> FileId:
    check_peer(request, "ingester")
    return parse_file_id(request.path_params["file_id"])


async def _model(kind: type[M], request: Request) -> M:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _HEAD_BYTES_MAX:
            raise InvalidRequest("the body is too long")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _malformed(error) from None


def _checked(kind: type[M], values: dict[str, str]) -> M:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _malformed(error) from None


def _malformed(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return InvalidRequest(f"{field}: {told(first)}", field=field)
