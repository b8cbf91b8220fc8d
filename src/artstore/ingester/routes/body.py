"""The body of a request as it comes off the wire: limited, and cut off when it stalls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Self

from starlette.requests import ClientDisconnect, Request

from artstore.core.errors import BodyStalled, BodyTooLarge, InvalidRequest
from artstore.core.web.fields import field_of
from artstore.core.web.hot import ARRIVED_EXTENSION
from artstore.ingester.services.content import SMALL_BYTES, Arrived

LARGE_BYTES: Final = 64 * 1024
"""A smaller rest of a refused body is read and dropped; a larger one costs the connection."""


class RequestBody(AsyncIterator[bytes]):
    """Chunks in order. A slow reader slows the sender down: the server stops reading.

    Raises, while it is iterated:
        BodyTooLarge: More than `limit_bytes` arrived.
        BodyStalled: Nothing arrived for `idle_timeout_s`.
        ClientDisconnect: The client left before the end.
    """

    def __init__(self, request: Request, *, limit_bytes: int, idle_timeout_s: float) -> None:
        self._receive = request.receive
        self._limit_bytes = limit_bytes
        self._idle_timeout_s = idle_timeout_s
        self._received_bytes = 0
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._ended:
            chunk = await self._next_chunk()
            self._received_bytes += len(chunk)
            if self._received_bytes > self._limit_bytes:
                raise too_large(self._limit_bytes)
            if chunk:
                return chunk
        raise StopAsyncIteration

    async def _next_chunk(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                message = await self._receive()
        except TimeoutError:
            raise BodyStalled from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


def body_of(
    request: Request, *, size: int | None, limit_bytes: int, idle_timeout_s: float
) -> AsyncIterator[bytes]:
    """Args: `size`: what `content_length` says.

    Most small bodies are here already: waiting, and a clock for it, cost more than they do.
    """
    if size is not None and size <= min(SMALL_BYTES, limit_bytes):
        take_arrived = request.scope.get("extensions", {}).get(ARRIVED_EXTENSION)
        arrived: bytes | None = take_arrived() if take_arrived is not None else None
        if arrived is not None:
            return Arrived(arrived)
    return RequestBody(request, limit_bytes=limit_bytes, idle_timeout_s=idle_timeout_s)


def too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"a file may have {limit_bytes} bytes", limit_bytes=limit_bytes)


def content_length(request: Request) -> int | None:
    """The declared length; `None` for a body that comes in pieces of its own."""
    header = field_of(request.scope, b"content-length")
    if header is None:
        return None
    if not (header.isascii() and header.isdigit()):
        raise InvalidRequest("Content-Length is not a number", field="content-length")
    return int(header)
