"""Stand-ins for the modules behind the edge: served by core's own server, they say back
what reached them."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from tests.support.processes import wait_until

from artstore.core.settings import ModuleSettings
from artstore.core.tls import TlsFiles
from artstore.core.web.middleware import PEER_EXTENSION
from artstore.core.web.server import server_config

CORRELATION_ID = "0af7651916cd43dd8448eb211c80319c"
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass
class EchoModule:
    """One module. Headers of a request choose what it does beyond saying it back:
    `X-Do: refuse` answers 413 unread, `X-Do: drip` sends half and waits for `go_on`."""

    name: str
    first_piece: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.requests += 1
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        match headers.get("x-do"):
            case "refuse":
                # As core does: a body that is not read ends the connection.
                await self._answer(send, 413, b"{}", (b"connection", b"close"))
            case "drip":
                await self._drip(send)
            case _:
                size, digest = await self._read(receive)
                seen = {
                    "module": self.name,
                    "method": scope["method"],
                    "path": scope["path"],
                    "headers": headers,
                    "peer": scope["extensions"][PEER_EXTENSION].uri,
                    "size": size,
                    "sha256": digest,
                }
                await self._answer(send, 200, json.dumps(seen).encode())

    async def _read(self, receive: Receive) -> tuple[int, str]:
        size, digest = 0, hashlib.sha256()
        while True:
            message = await receive()
            piece = message.get("body", b"")
            size += len(piece)
            digest.update(piece)
            if piece:
                self.first_piece.set()
            if not message.get("more_body"):
                return size, digest.hexdigest()

    async def _drip(self, send: Send) -> None:
        await self._start(send, 200, (b"content-length", b"11"))
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.to_thread(self.go_on.wait)
        await send({"type": "http.response.body", "body": b"second"})

    async def _answer(
        self, send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]
    ) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self._start(send, status, length, *more)
        await send({"type": "http.response.body", "body": body})

    async def _start(self, send: Send, status: int, *more: tuple[bytes, bytes]) -> None:
        headers = [(b"x-correlation-id", CORRELATION_ID.encode()), (b"server", b"inside"), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})


@contextmanager
def serving(module: EchoModule, port: int, tls: TlsFiles) -> Iterator[None]:
    settings = ModuleSettings(
        instance=f"{module.name}-1",
        port=port,
        tls_certificate_file=tls.certificate,
        tls_key_file=tls.key,
        tls_ca_file=tls.ca,
        shutdown_grace_s=1,
    )
    server = uvicorn.Server(server_config(module, settings))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, f"{module.name} starting")
        yield
    finally:
        server.should_exit = True
        thread.join()
