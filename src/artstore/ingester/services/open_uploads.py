"""Calls to elements about uploads that come in parts."""

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, NamedTuple

import aiohttp
from pydantic import ValidationError

from artstore.core.errors import InternalError
from artstore.core.http import Transport
from artstore.core.model.completion import Completion
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.open_upload import (
    PART_TYPE,
    ChecksumAlgorithm,
    NewOpenUpload,
    OpenUploadState,
)
from artstore.ingester.services.flow import Flow
from artstore.ingester.services.placement import ElementReport

COMPLETION_TIMEOUT_S: Final = 3600.0
"""After a restart the element reads the whole content again: at 300 MB/s this is 1 TB."""


class ExpectedChecksum(NamedTuple):
    algorithm: ChecksumAlgorithm
    hex_digest: str


class UploadPart(NamedTuple):
    offset: int
    chunks: AsyncIterator[bytes]
    checksum: ExpectedChecksum | None


class OpenUploadCalls:
    """Each raises the element's refusal, or `Unavailable` when it does not answer."""

    def __init__(self, transport: Transport, timeout_s: float) -> None:
        self._transport = transport
        self._timeout_s = timeout_s

    async def create(self, element: ElementReport, file_id: FileId, new: NewOpenUpload) -> None:
        async with self._request("POST", element, file_id, data=new.model_dump_json().encode()):
            pass

    async def state(self, element: ElementReport, file_id: FileId) -> OpenUploadState:
        async with self._request("GET", element, file_id) as response:
            return _state_in(await response.read())

    async def append(
        self, element: ElementReport, file_id: FileId, part: UploadPart, expires_at: datetime
    ) -> OpenUploadState:
        """Raises also what `part.chunks` raise, and `NotReached`."""
        params = {"offset": str(part.offset), "expires_at": expires_at.isoformat()}
        if part.checksum is not None:
            params["checksum_algorithm"] = part.checksum.algorithm
            params["checksum"] = part.checksum.hex_digest
        flow = Flow(b"", part.chunks, self._timeout_s)
        async with (
            flow.sent(),
            self._transport.request(
                "PATCH",
                _url(element, file_id),
                peer="storage",
                headers={"Content-Type": PART_TYPE},
                params=params,
                data=flow.chunks(),
                expect100=True,
                timeout_s=self._timeout_s,
            ) as response,
        ):
            return _state_in(await response.read())

    async def complete(
        self, element: ElementReport, file_id: FileId, completion: Completion
    ) -> FileRecord:
        async with self._request(
            "POST",
            element,
            f"{file_id}/complete",
            data=completion.model_dump_json(exclude_none=True).encode(),
            timeout_s=COMPLETION_TIMEOUT_S,
        ) as response:
            answer = await response.read()
        try:
            return FileRecord.from_json(answer)
        except ValidationError as error:
            raise InternalError from error

    async def content(
        self, element: ElementReport, file_id: FileId, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """What came, from byte `start` to before `stop`."""
        params = {"start": str(start)}
        if stop is not None:
            params["stop"] = str(stop)
        async with self._request("GET", element, f"{file_id}/content", params=params) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def remove(self, element: ElementReport, file_id: FileId) -> None:
        async with self._request("DELETE", element, file_id):
            pass

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        element: ElementReport,
        path: str,
        *,
        data: bytes | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._transport.request(
            method,
            _url(element, path),
            peer="storage",
            data=None if data is None else io.BytesIO(data),
            params=params,
            timeout_s=timeout_s or self._timeout_s,
        ) as response:
            yield response


def _url(element: ElementReport, path: str) -> str:
    return f"{element.url}/api/v1/open-uploads/{path}"


def _state_in(answer: bytes) -> OpenUploadState:
    try:
        return OpenUploadState.model_validate_json(answer)
    except ValidationError as error:
        raise InternalError from error
