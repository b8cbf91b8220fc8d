"""Calls from module to module over mutual TLS, with the trace of the request.

`request` streams, by aiohttp; `exchange` is for small requests that come with every upload.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from opentelemetry.trace import SpanKind

from artstore.core import errors
from artstore.core.certificates import LiveContext
from artstore.core.clock import SystemClock
from artstore.core.exchange import CONNECT_TIMEOUT_S, KEEP_ALIVE_S, Exchanges, Place
from artstore.core.spans import begin_child
from artstore.core.tls import TlsFiles, client_context, server_name
from artstore.core.tracing import traceparent

IDLE_TIMEOUT_S = 30.0
"""Silence longer than this means the other side is gone; a busy transfer is never cut."""
CONNECTIONS_PER_HOST_MAX = 256
PROBLEM_BYTES_MAX = 1 << 20


class Transport:
    """One per process. Create it inside the running event loop; `close()` it at the end."""

    def __init__(self, tls: TlsFiles | None) -> None:
        """`tls` is `None` only in development, where services speak plain HTTP."""
        self._tls = LiveContext(tls, client_context, SystemClock()) if tls else None
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_HOST_MAX, keepalive_timeout=KEEP_ALIVE_S
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            raise_for_status=False,
        )
        self._exchanges = Exchanges()

    async def close(self) -> None:
        self._exchanges.close()
        await self._session.close()

    async def exchange(
        self, method: str, url: str, *, peer: str, content_type: str, body: bytes, timeout_s: float
    ) -> bytes:
        """The body of the answer to one call with a `body` that is held anyway.

        Args:
            timeout_s: For all of it.

        Raises:
            ArtStoreError: As `request`; `Unavailable` from `NotConnected` if nothing was sent.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        place = Place(parts.hostname or "", port, server_name(peer))
        try:
            with _outgoing(method, peer) as trace:
                head = (
                    f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                    f"traceparent: {trace}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                ).encode()
                async with asyncio.timeout(timeout_s):
                    answer = await self._exchanges.call(place, self._context(), head + body)
                if answer.status >= 400:
                    problem = problem_in(answer.content_type, answer.body)
                    raise failure_in(answer.status, problem, peer)
        except (ConnectionError, TimeoutError) as error:
            raise errors.Unavailable(f"the {peer} service does not answer") from error
        return answer.body

    def _context(self) -> ssl.SSLContext | None:
        return self._tls.current() if self._tls else None

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        peer: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        expect100: bool = False,
        timeout_s: float = IDLE_TIMEOUT_S,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One call to a service of module `peer`. The answer is a success (below 400).

        Args:
            data: bytes, or an async iterator of bytes for a body that streams.
            expect100: Send a large body only after the other side wants it.
            timeout_s: Longest silence; no limit for the whole transfer.

        Raises:
            ArtStoreError: The other side's own failure, as it named it.
            Unavailable: It did not answer, or the connection broke.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=timeout_s
        )
        try:
            with _outgoing(method, peer) as trace:
                async with self._session.request(
                    method,
                    url,
                    headers={"traceparent": trace, **(headers or {})},
                    data=data,
                    params=params,
                    expect100=expect100,
                    timeout=timeout,
                    allow_redirects=False,
                    ssl=self._context() or False,
                    server_hostname=server_name(peer) if self._tls else None,
                ) as response:
                    if response.status >= 400:
                        raise failure_in(response.status, await _read_problem(response), peer)
                    try:
                        yield response
                    finally:
                        abandon(response)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise errors.Unavailable(f"the {peer} service does not answer") from error


@contextlib.contextmanager
def _outgoing(method: str, peer: str) -> Iterator[str]:
    """Around a call: its span, and the header that carries the trace on."""
    span = begin_child(f"{method} {peer}", SpanKind.CLIENT, {"server.service": peer})
    failed = True
    try:
        yield span.context.traceparent if span else traceparent()
        failed = False
    finally:
        if span is not None:
            span.end(failed=failed)


def abandon(response: aiohttp.ClientResponse) -> None:
    """Cuts the connection of an answer that is not read to its end; else does nothing.

    Closing alone would wait for TLS's farewell, which lies behind all the bytes that nobody
    reads: the other side would go on sending until a timeout of 30 s.
    """
    connection = response.connection
    if connection is None:
        return
    if connection.transport is not None:
        connection.transport.abort()
    response.close()


async def _read_problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    return problem_in(response.content_type, await response.content.read(PROBLEM_BYTES_MAX))


def problem_in(content_type: str, body: bytes) -> dict[str, Any]:
    """The members of a problem (RFC 9457); none in an answer that is no such thing."""
    if content_type != "application/problem+json":
        return {}
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return problem if isinstance(problem, dict) else {}


_STANDARD_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "correlation_id"})


def failure_in(status: int, problem: dict[str, Any], peer: str) -> errors.ArtStoreError:
    """The failure that another service named. What it got wrong itself is not the caller's."""
    cls = errors.error_classes().get(problem.get("code", ""))
    if cls is None or cls in (errors.ClientCertificateRequired, errors.InternalError):
        if status in (429, 502, 503, 504):
            return errors.Unavailable(f"the {peer} service is not available")
        return errors.InternalError()
    fields = {key: value for key, value in problem.items() if key not in _STANDARD_MEMBERS}
    return cls(str(problem.get("detail", "")), **fields)
