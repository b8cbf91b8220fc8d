"""Serves an application: uvicorn with mutual TLS and the peer's identity in the scope."""

import asyncio
import fcntl
import gc
import resource
import struct
import termios
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import Message
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from artstore.core.certificates import LiveServer, Trust
from artstore.core.clock import SystemClock
from artstore.core.errors import MalformedHttp
from artstore.core.logging import get_logger
from artstore.core.settings import ModuleSettings
from artstore.core.tls import PeerIdentity, ShownChain, peer_identity
from artstore.core.tracing import enter_trace, new_trace
from artstore.core.web.hot import ARRIVED_EXTENSION
from artstore.core.web.middleware import PEER_EXTENSION
from artstore.core.web.problems import MEDIA_TYPE, problem_body
from artstore.core.web.safe_headers import SAFE_HEADERS, with_safe_headers

KEEP_ALIVE_S = 75
"""Longer than any of our clients keeps an idle connection (`core.http`, the edge): the side
that sends closes first, so no request meets a connection that is just being closed."""

CONNECTION_AGE_MAX_S = 3600
"""Older connections end with their next answer. A peer shows its certificate once for each:
this bounds how long one serves that meanwhile has another name, or a shorter life."""
TICKS_BETWEEN_LOOKS = 20
"""uvicorn ticks ten times a second. Connections that stand must hear of a revocation, too."""

FAREWELL_S = 1.0
"""How long TLS waits for the other side to close too. A peer that hangs would keep its idle
connection, and with it a process that wants to end, for the whole time of grace."""

GARBAGE_THRESHOLD = 20_000
"""New objects before the collector runs; some megabytes at most."""


JOINED_MAX = 64 * 1024
"""Bytes of a body that are worth a copy, to leave together with the head."""

_LINES = {field: b"%b: %b\r\n" % field for field in with_safe_headers(())}
"""Of the fields that nearly every answer has."""
_SAFE_HEADERS = "".join(f"{name}: {value}\r\n" for name, value in SAFE_HEADERS.items())


class _LeavingTransport:
    """Waits for the other side's farewell for a moment only."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # Used with every answer.
        self.is_closing = transport.is_closing
        self.write = transport.write
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        if self._leaving is None:
            self._leaving = self._loop.call_later(FAREWELL_S, self._leave)
        self._transport.close()

    def closed(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()

    def _leave(self) -> None:
        """End a connection without the peer's farewell, unless it has not got everything yet."""
        if _is_all_received(self._transport):
            self._transport.abort()
        else:
            self._leaving = self._loop.call_later(FAREWELL_S, self._leave)


def _is_all_received(transport: asyncio.Transport) -> bool:
    """Whether the other side's kernel has everything that was ever written."""
    if transport.get_write_buffer_size():
        return False
    try:
        handle = transport.get_extra_info("socket").fileno()
        unacknowledged = fcntl.ioctl(handle, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return True  # it has just been closed
    return struct.unpack("i", unacknowledged) == (0,)


class _Exchange:
    """Sends the head of an answer together with the first part of its body, and gives the body
    of a request that arrived as a whole.

    uvicorn writes head and body one after the other; each would be a TLS record and a system call.
    """

    __slots__ = ("_cycle", "_head", "_send")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send
        self._head: Message | None = None

    def take_arrived(self) -> bytes | None:
        """As `ARRIVED_EXTENSION` has it."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.response_complete:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        cycle.flow.resume_reading()
        return body

    async def send(self, message: Message) -> None:
        cycle, head = self._cycle, self._head
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if message["type"] == "http.response.start" and not cycle.response_started:
            if head is not None:
                # The application broke behind its head: nothing may look like an answer.
                cycle.disconnected = True
                cycle.transport.close()
            self._head = message
        elif head is None or cycle.disconnected:
            await self._send(message)  # type: ignore[arg-type]
        else:
            self._head = None
            if not self._send_joined(head, message):
                await self._send(head)  # type: ignore[arg-type]
                await self._send(message)  # type: ignore[arg-type]

    def _send_joined(self, head: Message, message: Message) -> bool:
        """Does nothing unless the length of the body is known, and the head a plain one."""
        cycle = self._cycle
        body, more = message.get("body", b""), message.get("more_body", False)
        fields = dict(head["headers"])
        length = int(fields.get(b"content-length", -1))
        is_plain = b"connection" not in fields and head["status"] not in (204, 304)
        fits = len(body) < length if more else len(body) == length
        if not (is_plain and fits) or cycle.scope["method"] == "HEAD" or len(body) > JOINED_MAX:
            return False
        lines = [_LINES.get(field) or b"%b: %b\r\n" % field for field in head["headers"]]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        text = b"".join(lines)
        if text.count(b"\n") != len(lines) or text.count(b"\r") != len(lines) or b"\0" in text:
            return False  # A field that breaks out of its line: uvicorn refuses it.
        cycle.transport.write(b"".join((STATUS_LINE[head["status"]], text, b"\r\n", body)))
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        if more:
            cycle.chunked_encoding = False
            cycle.expected_content_length = length - len(body)
        else:
            self._completed()
        return True

    def _completed(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        # Else cycle and exchange would hold each other, and all that hangs on them, until the
        # collector comes: for a tenth of a small upload.
        del cycle.send
        cycle.scope["extensions"].pop(ARRIVED_EXTENSION)
        cycle.on_response()


class ServerConfig(uvicorn.Config):
    live: LiveServer | None = None


class PeerProtocol(HttpToolsProtocol):
    """Tells the application who is at the other end of the connection."""

    _peer: PeerIdentity | None = None
    _shown: ShownChain | None = None
    _trust: Trust | None = None
    _live: LiveServer | None = None
    _ends_at_s = 0.0
    """On the clock of the event loop. Answers from then on are the last of the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_LeavingTransport(transport))  # type: ignore[arg-type]
        self._ends_at_s = self.loop.time() + CONNECTION_AGE_MAX_S
        tls = transport.get_extra_info("ssl_object")
        if tls and isinstance(self.config, ServerConfig):
            self._live = self.config.live
            self._meet(ShownChain.of(tls), peer_identity(tls))

    def _meet(self, shown: ShownChain | None, peer: PeerIdentity | None) -> None:
        if shown is None or shown.is_authority:
            # Who can sign others has no business as one of them: OpenSSL would let it pass.
            return
        self._peer, self._shown = peer, shown
        self._ends_at_s = min(self._ends_at_s, self.loop.time() + shown.ends_at_s - time.time())
        # The handshake began a moment ago, perhaps under an older trust: judge it by this one.
        self._trust = None

    def _judge_again(self, trust: Trust) -> None:
        self._trust = trust
        if self._shown is not None and not trust.holds(self._shown):
            get_logger().warning("certificate counts no more", peer=self._peer and self._peer.uri)
            self._peer = self._shown = None
            self._ends_at_s = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.transport.closed()  # type: ignore[attr-defined]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._live is not None and self._trust is not self._live.trust:
            self._judge_again(self._live.trust)
        self.scope["extensions"] = {PEER_EXTENSION: self._peer}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.loop.time() > self._ends_at_s:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        exchange = _Exchange(cycle)
        cycle.send = exchange.send  # type: ignore[method-assign, assignment]
        extensions: dict[str, Any] = cycle.scope["extensions"]
        extensions[ARRIVED_EXTENSION] = exchange.take_arrived
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        trace = new_trace(sampled=False)
        enter_trace(trace)
        get_logger().info("malformed request", peer=self._peer and self._peer.uri)
        body = problem_body(MalformedHttp())
        head = (
            f"HTTP/1.1 400 Bad Request\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nX-Correlation-Id: {trace.trace_id}\r\n"
            f"{_SAFE_HEADERS}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def serve(app: FastAPI, settings: ModuleSettings) -> None:
    """Run until SIGTERM or SIGINT; running requests get `shutdown_grace_s` to end."""
    _allow_many_files()
    _collect_garbage_less()
    _Server(server_config(app, settings), app).run()


class _Server(uvicorn.Server):
    """Tells the application that it is to stop: whoever waits in a long poll answers then."""

    def __init__(self, config: ServerConfig, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._live = config.live

    async def on_tick(self, counter: int) -> bool:
        if self._live is not None and counter % TICKS_BETWEEN_LOOKS == 0:
            self._live.current()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.stopping = True
        super().handle_exit(sig, frame)


def _allow_many_files() -> None:
    """A thousand clients with a connection each soon pass the usual limit of 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _collect_garbage_less() -> None:
    """A request makes hundreds of objects and hardly a cycle; at Python's default threshold
    the collector would look for some after every few requests, through all modules loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def server_config(app: FastAPI, settings: ModuleSettings) -> ServerConfig:
    live = LiveServer(settings.tls, SystemClock()) if settings.tls else None
    config = ServerConfig(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=PeerProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Only the edge knows the client's address, and it says so in the audit, not here.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        ssl_context_factory=(lambda _config, _default: live.context) if live else None,
    )
    config.live = live
    return config
