"""A connection over which requests come one behind the other, and who is at its other end.

In place of uvicorn's own, which costs a small upload twice as much: it does for each request what
is only needed for some, and writes an answer in pieces.
"""

import asyncio
import fcntl
import struct
import termios
import time
from collections import deque
from typing import Final, cast
from urllib.parse import unquote

import uvicorn
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from starlette.types import Scope
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from artstore.core.certificates import LiveServer, Trust
from artstore.core.errors import MalformedHttp
from artstore.core.logging import get_logger
from artstore.core.tls import PeerIdentity, ShownChain, peer_identity
from artstore.core.tracing import enter_trace, new_trace
from artstore.core.web.cycle import Cycle
from artstore.core.web.fields import FIELDS, table_of
from artstore.core.web.framing import check_framing
from artstore.core.web.hot import ARRIVED_EXTENSION
from artstore.core.web.middleware import PEER_EXTENSION
from artstore.core.web.problems import MEDIA_TYPE, problem_body
from artstore.core.web.safe_headers import SAFE_HEADERS, RawHeaders

KEEP_ALIVE_S: Final = 75
"""Longer than any of our clients keeps an idle connection (`core.http`, the edge): the side
that sends closes first, so no request meets a connection that is just being closed. So long may
the head of a request take, too."""

HEAD_BYTES_MAX: Final = 256 * 1024
"""Of a head, and of anything else that is no body: more than the edge lets through, and than any
of our clients says. The parser keeps what it is not done with."""

AGE_MAX_S: Final = 3600
"""Older connections end with their next answer. A peer shows its certificate once for each:
this bounds how long one serves that meanwhile has another name, or a shorter life."""

FAREWELL_S: Final = 1.0
"""How long TLS waits for the other side to close too. A peer that hangs would keep its idle
connection, and with it a process that wants to end, for the whole time of grace."""

_VERSIONS: Final = {"asgi": {"version": "3.0", "spec_version": "2.3"}, "type": "http"}
_SAFE_HEADERS: Final = "".join(f"{name}: {value}\r\n" for name, value in SAFE_HEADERS.items())


class ServerConfig(uvicorn.Config):
    live: LiveServer | None = None


class Connection(asyncio.Protocol):
    """Reads requests, and has the application answer them one at a time, in their order."""

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._application = config.loaded_app
        self._live = config.live
        self._state = server_state
        self._app_state = app_state
        self._loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(self)
        # What follows the last request of a connection is no reason not to answer that.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

        self._peer: PeerIdentity | None = None
        self._shown: ShownChain | None = None
        self._trust: Trust | None = None
        self._ends_at_s = self._loop.time() + AGE_MAX_S
        """On the clock of the event loop. Answers from then on are the last."""
        self._idle_since_s: float | None = self._loop.time()
        self._leaving: asyncio.TimerHandle | None = None

        self._headers: RawHeaders = []
        self._bytes_of_head = 0
        """That came since the parser last had a head, a part of a body or an end to tell of."""
        self._is_reading = True
        self.is_write_paused = False
        self._writable = asyncio.Event()
        self._arriving: Cycle | None = None
        self._answering: Cycle | None = None
        self._waiting: deque[tuple[Cycle, Scope]] = deque()
        """Requests of a client that does not wait for answers."""
        self._is_spoilt = False
        """Where the next request begins is not known any more: nothing else is read."""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._server = get_local_addr(self._transport)
        self._client = get_remote_addr(self._transport)
        tls = transport.get_extra_info("ssl_object")
        self._scheme = "https" if tls else "http"
        if tls:
            self._meet(ShownChain.of(tls), peer_identity(tls))

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        for cycle in (self._answering, self._arriving):
            if cycle is not None:
                cycle.leave()
        self._answering = self._arriving = None
        self._waiting.clear()
        self._writable.set()
        if self._leaving is not None:
            self._leaving.cancel()

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self.is_write_paused = False
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._is_spoilt:
            return
        self._bytes_of_head += len(data)
        self._feed(data)
        if self._bytes_of_head > HEAD_BYTES_MAX and not self._transport.is_closing():
            self._spoil()

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                # We stay with HTTP/1.1, as a server may.
                data = data[upgrade.args[0] :]
            except HttpParserError:
                self._spoil()
                return
            else:
                return

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._live is not None and self._trust is not self._live.trust:
            self._judge_again(self._live.trust)
        if self._idle_since_s is not None:
            self._idle_since_s = self._loop.time()
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._bytes_of_head = 0
        # What comes behind a body (trailers) is none of the fields that decided about it.
        headers, self._headers = self._headers, []
        parser = self._parser
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        fields = table_of(headers)
        check_framing(headers, fields, version, wants_upgrade=parser.should_upgrade())
        is_young = self._loop.time() <= self._ends_at_s
        cycle = Cycle(
            self,
            is_head=method == "HEAD",
            keeps_alive=is_young and version != "1.0" and parser.should_keep_alive(),
            expects_continue=fields.get(b"expect", b"").lower() == b"100-continue",
        )
        url = parse_url(self._url)
        path = url.path.decode("ascii")
        scope = {
            **_VERSIONS,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": headers,
            FIELDS: fields,
            "state": self._app_state.copy(),
            "extensions": {PEER_EXTENSION: self._peer, ARRIVED_EXTENSION: cycle.take_arrived},
        }
        self._arriving = cycle
        if self._answering is None:
            self._answer(cycle, scope)
        else:
            self.pause_reading()
            self._waiting.append((cycle, scope))

    def on_body(self, body: bytes) -> None:
        self._bytes_of_head = 0
        if self._arriving is not None:
            self._arriving.feed(body)

    def on_message_complete(self) -> None:
        self._bytes_of_head = 0
        self._headers = []
        if self._arriving is not None:
            self._arriving.end()

    # What a cycle calls.

    def common_fields(self) -> RawHeaders:
        return self._state.default_headers

    async def writable(self) -> None:
        await self._writable.wait()

    def pause_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Unless whole requests wait: those come first."""
        if not self._is_reading and not self._waiting:
            self._is_reading = True
            self._transport.resume_reading()

    def answered(self, *, keeps_alive: bool) -> None:
        self._answering = None
        if not keeps_alive:
            self.close()
        elif not self._transport.is_closing():
            if self._waiting:
                self._answer(*self._waiting.popleft())
            elif self._is_spoilt:
                self._refuse_malformed()
            else:
                self._idle_since_s = self._loop.time()
            self.resume_reading()

    def _answer(self, cycle: Cycle, scope: Scope) -> None:
        self._answering = cycle
        self._idle_since_s = None
        task = self._loop.create_task(cycle.run(self._application, scope))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    # What the server calls.

    def shutdown(self) -> None:
        """End with the answer that is under way."""
        if self._answering is None:
            self.close()
        else:
            self._answering.keeps_alive = False

    def close_idle(self) -> None:
        since_s = self._idle_since_s
        if since_s is not None and self._loop.time() - since_s > KEEP_ALIVE_S:
            self.close()

    # The other end.

    def _meet(self, shown: ShownChain | None, peer: PeerIdentity | None) -> None:
        if shown is None or shown.is_authority:
            # Who can sign others has no business as one of them: OpenSSL would let it pass.
            return
        self._peer, self._shown = peer, shown
        self._ends_at_s = min(self._ends_at_s, self._loop.time() + shown.ends_at_s - time.time())
        # The handshake began a moment ago, perhaps under an older trust: judge it by this one.
        self._trust = None

    def _judge_again(self, trust: Trust) -> None:
        self._trust = trust
        if self._shown is not None and not trust.holds(self._shown):
            get_logger().warning("certificate counts no more", peer=self._peer and self._peer.uri)
            self._peer = self._shown = None
            self._ends_at_s = 0.0

    def _spoil(self) -> None:
        """What came is no HTTP. Whole requests in front of it are answered first, and no answer
        is broken into: a client must know of each what became of it."""
        if self._is_spoilt:
            return
        self._is_spoilt = True
        broken = self._arriving
        if broken is not None and not broken.is_whole:
            self._arriving = None
            if broken is not self._answering:
                self._waiting = deque(pair for pair in self._waiting if pair[0] is not broken)
            else:
                self._answering = None
            broken.leave()
            if broken.has_begun:
                self.close()
                return
        if self._answering is None:
            self._refuse_malformed()

    def _refuse_malformed(self) -> None:
        trace = new_trace(sampled=False)
        enter_trace(trace)
        get_logger().info("malformed request", peer=self._peer and self._peer.uri)
        body = problem_body(MalformedHttp())
        head = (
            f"HTTP/1.1 400 Bad Request\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nX-Correlation-Id: {trace.trace_id}\r\n"
            f"{_SAFE_HEADERS}Connection: close\r\n\r\n"
        )
        self.write(head.encode() + body)
        self.close()

    # The end.

    def close(self) -> None:
        """Say farewell, and wait for the other side's for a moment only."""
        if self._leaving is None:
            self._leaving = self._loop.call_later(FAREWELL_S, self._leave)
        self._transport.close()

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
