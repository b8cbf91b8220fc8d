"""How a refusal gets through to a client that is still sending.

Closing a connection with unread bytes in it makes the kernel reset it, and the reset may
overtake our answer: the client then sees a broken pipe and never learns why. So the rest of
the body is read and dropped for a moment after the answer, until the client stops.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artstore.core.web.fields import field_of
from artstore.ingester.routes.body import LARGE_BYTES

LINGER_S: Final = 3.0


class LingeringRefusal:
    """Answers below 400, and requests with small bodies, pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or not _is_large(scope):
            return self._app(scope, receive, send)
        exchange = _Exchange(receive, send)
        return self._app(scope, exchange.receive, exchange.send)


class _Exchange:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._body_ended = False
        self._refused = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_ended = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._refused = message["status"] >= 400 and not self._body_ended
            if self._refused:
                headers = [pair for pair in message["headers"] if pair[0] != b"connection"]
                message["headers"] = [*headers, (b"connection", b"close")]
        elif self._refused and not message.get("more_body", False):
            # The whole answer leaves now; its end, which closes the connection, later.
            await self._send({**message, "more_body": True})
            await self._drop_rest()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _drop_rest(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                while not self._body_ended:
                    await self.receive()
        except TimeoutError:
            return


def _is_large(scope: Scope) -> bool:
    length = field_of(scope, b"content-length")
    if length is not None:
        return not length.isdigit() or int(length) > LARGE_BYTES
    return field_of(scope, b"transfer-encoding") is not None
