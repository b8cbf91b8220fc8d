"""A connection of the server without a socket: what is written to it is looked at as it would
travel; and applications for it to serve.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import Mock

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from artstore.core.web.connection import Connection, ServerConfig

REQUEST = b"POST /api/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nbytes"
GET = b"GET /a%20b?c=%64 HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED_HEAD = b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Wire(Mock):
    """The transport of a connection."""

    def __init__(self, application: ASGIApp) -> None:
        super().__init__(asyncio.Transport)
        self.is_closing.return_value = False
        self.get_extra_info.return_value = None
        self.get_write_buffer_size.return_value = 0
        self.close.side_effect = self._closed
        config = ServerConfig(application, http=Connection, ws="none", log_config=None)  # type: ignore[arg-type]
        config.load()
        self.state = ServerState()
        self.connection = Connection(config, self.state, app_state={})
        self.connection.connection_made(self)

    def _closed(self) -> None:
        self.is_closing.return_value = True

    @property
    def written(self) -> bytes:
        return b"".join(call.args[0] for call in self.write.call_args_list)

    async def say(self, *pieces: bytes) -> bytes:
        """What comes back when all that is asked has been answered."""
        for piece in pieces:
            self.connection.data_received(piece)
        while self.state.tasks:
            await asyncio.gather(*self.state.tasks)
        return self.written

    # `Mock` would make these of the same class.
    def _get_child_mock(self, **options: Any) -> Mock:
        return Mock(**options)


Make = Callable[[ASGIApp], Wire]


def answering(
    *bodies: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Handler:
    async def application(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, body in enumerate(bodies, start=1):
            more = number < len(bodies)
            await send({"type": "http.response.body", "body": body, "more_body": more})

    return application


def sized(size: int) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % size)]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """All of the body, part by part."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    text = b"%s %s" % (scope["path"].encode(), body)
    await answering(text, headers=sized(len(text)))(scope, receive, send)
