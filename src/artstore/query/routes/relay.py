"""A file's bytes on their way from an element to the client, a chunk at a time.

A slow client slows the element down. Whatever breaks, half a file never looks whole: the
answer says its length first, and a connection that cannot keep to it is cut.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from artstore.core.errors import ArtStoreError, Unavailable, UnknownFile
from artstore.core.http import abandon
from artstore.core.logging import get_logger
from artstore.core.metrics import DOWNLOAD_BYTES
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import ElementId
from artstore.query.services.elements import NOT_AVAILABLE, Source

OpenContent = Callable[[], AbstractAsyncContextManager[Source]]


class ContentRelay(Response):
    """Failures before the first byte become problems; later ones cut the connection."""

    def __init__(
        self,
        record: FileRecord,
        byte_range: tuple[int, int] | None,
        headers: Mapping[str, str],
        open_content: OpenContent,
        *,
        write_down: Callable[[ElementId], Awaitable[None]],
        idle_timeout_s: float,
    ) -> None:
        """
        Args:
            open_content: What comes of it is what the headers promise.
            write_down: Makes durable who gets the content from which element; before its first
                byte, and not for what no element hands out.
        """
        start, end = byte_range or (0, record.size)
        lengths = {"Content-Length": str(end - start)}
        if byte_range is not None:
            lengths["Content-Range"] = f"bytes {start}-{end - 1}/{record.size}"
        super().__init__(status_code=206 if byte_range else 200, headers={**headers, **lengths})
        self._record = record
        self._open_content = open_content
        self._write_down = write_down
        self._idle_timeout_s = idle_timeout_s
        self._started = False
        self._client_left = False
        self._log = get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._open_content() as (element_id, answer):
                await self._write_down(element_id)
                leaving = asyncio.create_task(self._close_when_client_leaves(receive, answer))
                try:
                    await self._copy(answer, send)
                finally:
                    leaving.cancel()
                    with suppress(asyncio.CancelledError):
                        await leaving
        except UnknownFile as error:
            # The catalogue says it is there. Absence is never deletion.
            self._log.error("element lacks a file", file_id=self._record.file_id)
            raise Unavailable(NOT_AVAILABLE) from error
        except (ArtStoreError, TimeoutError) as error:
            if not self._started:
                raise
            # Returning without the rest makes the server cut the connection.
            if not self._client_left:
                self._log.warning(
                    "download broke off", file_id=self._record.file_id, reason=repr(error)
                )

    async def _copy(self, source: aiohttp.ClientResponse, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        self._started = True
        async for chunk in source.content.iter_any():
            async with asyncio.timeout(self._idle_timeout_s):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            DOWNLOAD_BYTES.inc(len(chunk))
        await send({"type": "http.response.body", "body": b""})

    async def _close_when_client_leaves(
        self, receive: Receive, source: aiohttp.ClientResponse
    ) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._client_left = True
        abandon(source)
