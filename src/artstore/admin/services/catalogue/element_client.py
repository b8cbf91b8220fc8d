"""Calls to storage elements."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from artstore.core.errors import InternalError, Unavailable
from artstore.core.http import IDLE_TIMEOUT_S, Transport
from artstore.core.model.element import ElementInfo
from artstore.core.model.file import ATTR_BYTES_MAX, FileChange, FileRecord
from artstore.core.model.ids import FileId

PEER: Final = "storage"
LINE_BYTES_MAX: Final = ATTR_BYTES_MAX + 4096
"""A change is a record and a few words around it."""
_CHUNK_BYTES: Final = 64 * 1024
_LONG_POLL_MARGIN_S: Final = 10.0

Answer = TypeVar("Answer", bound=BaseModel)


class BrokenAnswer(InternalError):
    """A storage element answered something that is not its contract."""


@dataclass(frozen=True)
class Feed:
    """An answer of `/changes`: which history, how far it goes, and the lines asked for.

    `position_seq` is where to go on: the lines tell everything up to there.
    """

    feed_id: str
    head_seq: int
    position_seq: int
    lines: AsyncIterator[bytes]


class ElementClient:
    """All failures are those of `Transport.request`, and `BrokenAnswer`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def info(self, url: str, timeout_s: float = 5) -> ElementInfo:
        info = f"{url}/api/v1/info"
        return await ask(self._transport, "GET", info, ElementInfo, timeout_s=timeout_s)

    async def record(self, url: str, file_id: FileId) -> FileRecord:
        return await self._record("GET", url, file_id)

    async def change(self, url: str, file_id: FileId, change: FileChange) -> FileRecord:
        body = change.model_dump_json(exclude_none=True).encode()
        return await self._record("PATCH", url, file_id, body)

    async def delete(self, url: str, file_id: FileId, body: bytes) -> FileRecord:
        """`body`: JSON with `by` and `reason`. The answer is the tombstone."""
        return await self._record("DELETE", url, file_id, body)

    @asynccontextmanager
    async def listing(
        self, url: str, after: str | None, limit: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Records behind `after` in the order of their ids, a line each; none: the end."""
        params = {"limit": str(limit), **({"after": after} if after else {})}
        async with self._transport.request(
            "GET", f"{url}/api/v1/files", peer=PEER, params=params
        ) as response:
            yield split_lines(response.content)

    @asynccontextmanager
    async def feed(self, url: str, after_seq: int, limit: int, wait_s: int) -> AsyncIterator[Feed]:
        """Changes behind `after_seq`; waits up to `wait_s` for the first one.

        Raises:
            PositionGone: The element does not know this position (any more).
        """
        params = {"after": str(after_seq), "limit": str(limit), "wait": str(wait_s)}
        async with self._transport.request(
            "GET",
            f"{url}/api/v1/changes",
            peer=PEER,
            params=params,
            timeout_s=wait_s + _LONG_POLL_MARGIN_S,
        ) as response:
            yield _feed(response)

    async def _record(
        self, method: str, url: str, file_id: FileId, body: bytes | None = None
    ) -> FileRecord:
        return await ask(
            self._transport, method, f"{url}/api/v1/files/{file_id}", FileRecord, body=body
        )


async def ask(
    transport: Transport,
    method: str,
    url: str,
    model: type[Answer],
    *,
    body: bytes | None = None,
    timeout_s: float = IDLE_TIMEOUT_S,
) -> Answer:
    """One question of JSON to an element. Fails as `ElementClient` does."""
    headers = {"Content-Type": "application/json"} if body else None
    async with transport.request(
        method, url, peer=PEER, data=body, headers=headers, timeout_s=timeout_s
    ) as response:
        answer = await response.read()
    try:
        return model.model_validate_json(answer)
    except ValidationError as error:
        raise BrokenAnswer from error


def _feed(response: aiohttp.ClientResponse) -> Feed:
    try:
        return Feed(
            response.headers["X-ArtStore-Feed-Id"],
            int(response.headers["X-ArtStore-Head-Seq"]),
            int(response.headers["X-ArtStore-Position"]),
            split_lines(response.content),
        )
    except (KeyError, ValueError) as error:
        raise BrokenAnswer from error


async def split_lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """NDJSON, line by line, empty lines left out. Holds one line in memory.

    Raises:
        Unavailable: The connection broke; the lines before it were given out.
        BrokenAnswer: A line is longer than `LINE_BYTES_MAX`.
    """
    rest = b""
    try:
        async for chunk in content.iter_chunked(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield line
            if len(rest) > LINE_BYTES_MAX:
                raise BrokenAnswer
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise Unavailable("the storage element broke off") from error
    if rest:
        yield rest
