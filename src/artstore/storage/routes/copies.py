"""HTTP face of taking over files from another element."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import StreamingResponse

from artstore.core.errors import InvalidRequest
from artstore.core.model.ids import FileIdField
from artstore.core.model.restored import RestoreTerms
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
    purpose: Literal["copy", "repair", "restore"]
    restore: RestoreTerms | None = None
    """Of a restore, and of nothing else."""

    @model_validator(mode="after")
    def _terms_fit(self) -> Self:
        if (self.restore is not None) != (self.purpose == "restore"):
            raise ValueError("a restore has its terms, and nothing else has them")
        return self


@router.post("", dependencies=[Depends(require_peer("admin"))], response_class=StreamingResponse)
async def take_copies(
    wanted: CopyRequest, request: Request, copies: CopiesDep
) -> StreamingResponse:
    """One JSON line for each file, in order. Empty lines are signs of life."""
    if request.app.state.settings.tls is not None and not wanted.source_url.startswith("https:"):
        raise InvalidRequest("elements speak https to each other", field="source_url")
    # The same file twice would wait for itself.
    files = list(dict.fromkeys(wanted.files))
    if wanted.restore is not None:
        lines = copies.restore(wanted.source_url, files, wanted.restore)
    elif wanted.purpose == "repair":
        lines = copies.repair(wanted.source_url, files)
    else:
        lines = copies.copy(wanted.source_url, files)
    return StreamingResponse(lines, media_type=NDJSON)
