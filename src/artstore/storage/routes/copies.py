"""HTTP face of taking over files from another element."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import StreamingResponse

from artstore.core.errors import InvalidRequest
from artstore.core.model.ids import FileIdField
from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import CopiesDep
from artstore.storage.routes.files import NDJSON

FILES_MAX = 256

router = APIRouter(prefix="/api/v1/copies", tags=["copies"])


def _is_an_origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or f"{parts.scheme}://{parts.netloc}" != url:
        raise ValueError("a scheme, a host and a port, and nothing else")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("a host and a port, without a user")
    return url


class CopyRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source_url: Annotated[str, Field(max_length=512), AfterValidator(_is_an_origin)]
    """Of the element that has the files: `https://host:port`."""
    files: Annotated[tuple[FileIdField, ...], Field(min_length=1, max_length=FILES_MAX)]
    purpose: Literal["copy", "repair"]


@router.post("", dependencies=[Depends(require_peer("admin"))], response_class=StreamingResponse)
async def take_copies(
    wanted: CopyRequest, request: Request, copies: CopiesDep
) -> StreamingResponse:
    """One JSON line for each file, in order. Empty lines are signs of life."""
    if request.app.state.settings.tls is not None and not wanted.source_url.startswith("https:"):
        raise InvalidRequest("elements speak https to each other", field="source_url")
    # The same file twice would wait for itself.
    files = list(dict.fromkeys(wanted.files))
    lines = copies.copy(wanted.source_url, files, repair=wanted.purpose == "repair")
    return StreamingResponse(lines, media_type=NDJSON)
