"""A request and its answer, each held as a whole, over connections that are kept.

For what is called with every upload: it costs a quarter of a call of aiohttp, which can stream. In
return nothing but one complete answer will do: whatever else comes over a connection ends it, and
fails the call that waits.
"""

import asyncio
import ssl
from collections import defaultdict
from typing import Final, NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

CONNECT_TIMEOUT_S: Final = 3.0
KEEP_ALIVE_S: Final = 30.0
"""Shorter than our servers keep one: no call meets a connection that is just being closed."""
ANSWER_BYTES_MAX: Final = 16 << 20
"""With its head: twice the largest batch of files, each of which is told in a line."""


class NotConnected(ConnectionError):
    """Nothing was sent."""


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class Place(NamedTuple):
    """Whom a connection goes to. `server_name`: what the certificate must say, with TLS."""

    host: str
    port: int
    server_name: str | None


class Exchanges:
    """Of one process. There are as many connections as calls at a time: the caller sets bounds."""

    def __init__(self) -> None:
        self._idle: defaultdict[Place, list[_Connection]] = defaultdict(list)

    def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def call(self, place: Place, tls: ssl.SSLContext | None, request: bytes) -> Answer:
        """Send `request`, a head and a body. Cancelled, it ends the connection.

        Raises:
            NotConnected: Nothing was sent.
            ConnectionError: There was no answer, or what came was none. The outcome is unknown.
        """
        connection = self._kept(place, tls) or await _connect(place, tls)
        answer = await connection.call(request)
        if not connection.is_closing:
            self._idle[place].append(connection)
        return answer

    def _kept(self, place: Place, tls: ssl.SSLContext | None) -> "_Connection | None":
        """The one used last. Those made with an older certificate or trust serve no more."""
        since_s = asyncio.get_running_loop().time() - KEEP_ALIVE_S
        idle = self._idle[place]
        while idle:
            connection = idle.pop()
            if connection.tls is tls and connection.idle_since_s > since_s:
                if not connection.is_closing:
                    return connection
            else:
                connection.close()
        return None


async def _connect(place: Place, tls: ssl.SSLContext | None) -> "_Connection":
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: _Connection(tls),
                place.host,
                place.port,
                ssl=tls,
                server_hostname=place.server_name if tls else None,
            )
    except OSError as error:  # also of TLS, and a timeout
        raise NotConnected(f"no connection to {place.host}:{place.port}") from error
    return connection


class _Connection(asyncio.Protocol):
    """Carries one call at a time."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.tls = tls
        self.idle_since_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._size_bytes = 0
        self._content_type = ""
        self._body: list[bytes] = []

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    async def call(self, request: bytes) -> Answer:
        self._size_bytes = 0
        self._waiting = self._loop.create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        except BaseException:
            # A late answer must not pass for that of the next call.
            self._transport.abort()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up("the connection was cut")

    def data_received(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > ANSWER_BYTES_MAX:
            self._give_up("the answer is too large")
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._give_up(f"no answer in HTTP: {error}")

    def _give_up(self, reason: str) -> None:
        self._transport.abort()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(reason))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._waiting is None or self._waiting.done():
            raise ConnectionError("nobody waits for an answer")
        self._content_type = ""
        self._body = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self._content_type = value.decode("latin-1").partition(";")[0].strip().lower()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return  # "100 Continue" and its like go before the answer
        if not self._parser.should_keep_alive():
            self._transport.abort()
        self.idle_since_s = self._loop.time()
        assert self._waiting is not None
        self._waiting.set_result(Answer(status, self._content_type, b"".join(self._body)))
