"""Another storage element, as a source of copies. What comes from it is checked here."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import aiohttp
from pydantic import ValidationError

from artstore.core.errors import ArtStoreError, FileDamaged
from artstore.core.http import IDLE_TIMEOUT_S, Transport
from artstore.core.model.file import ATTR_BYTES_MAX, FileRecord
from artstore.core.model.ids import FileId

BLOCK_BYTES: Final = 1 << 20
_PEER: Final = "storage"


class SourceFailed(Exception):
    """The source did not give what was asked for. `error` says why."""

    def __init__(self, error: ArtStoreError) -> None:
        super().__init__(error.detail)
        self.error = error


class SourceElement:
    """All its failures are `SourceFailed`."""

    def __init__(
        self, transport: Transport, url: str, *, silence_max_s: float = IDLE_TIMEOUT_S
    ) -> None:
        """`url`: without a path. TLS makes sure that a storage element answers there."""
        self._transport = transport
        self._url = f"{url}/api/v1/files"
        self._silence_max_s = silence_max_s

    async def record(self, file_id: FileId) -> FileRecord:
        try:
            async with self._get(file_id) as answer:
                body = await _read_at_most(answer, ATTR_BYTES_MAX)
        except ArtStoreError as error:
            raise SourceFailed(error) from error
        return _parse(body, file_id)

    async def content(self, record: FileRecord) -> AsyncGenerator[bytes, None]:
        """In blocks of about `BLOCK_BYTES`. Ends only if all of it was right."""
        digest = hashlib.sha256()
        size = 0
        try:
            # Who copies is no reader: what lies in an archive is fetched from there.
            path = f"{record.file_id}/content"
            async with self._get(path, {"from_archive": "true"}) as answer:
                async for block in _blocks(answer):
                    size += len(block)
                    if size > record.size:
                        break
                    digest.update(block)
                    yield block
        except ArtStoreError as error:
            raise SourceFailed(error) from error
        if size != record.size:
            raise _damaged("the source's content does not have its length")
        if digest.hexdigest() != record.sha256:
            raise _damaged("the source's content does not match its digest")

    def _get(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._transport.request(
            "GET",
            f"{self._url}/{path}",
            peer=_PEER,
            params=params,
            timeout_s=self._silence_max_s,
        )


def _parse(body: bytes, file_id: FileId) -> FileRecord:
    try:
        record = FileRecord.from_json(body)
    except ValidationError as error:
        raise _damaged("the source's record is not valid") from error
    if record.file_id != file_id:
        raise _damaged("the source's record belongs to another file")
    if record.to_json() != body:
        # A copy is the same to the byte, or none.
        raise _damaged("the source's record is not written as records are here")
    return record


async def _read_at_most(answer: aiohttp.ClientResponse, size_max: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > size_max:
            raise FileDamaged("the source's record is too large")
    return bytes(body)


async def _blocks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Network chunks gathered: each block is one trip to a thread and one write."""
    gathered = bytearray()
    async for chunk in answer.content.iter_any():
        gathered += chunk
        if len(gathered) >= BLOCK_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _damaged(detail: str) -> SourceFailed:
    return SourceFailed(FileDamaged(detail))
