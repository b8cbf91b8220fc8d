"""Performs the steps of flows on an event loop, on aiohttp.

Not httpx2, which the blocking transport uses: measured over TLS with 4 KiB uploads on 16
connections it takes 0.7 ms of CPU a request, aiohttp 0.15 ms, and the command line shares
two cores with the servers. `benchmarks/client_request_cost.py` repeats the comparison.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
from yarl import URL

from artstore.client.calls import Calls
from artstore.client.messages import (
    Answer,
    Authorize,
    Body,
    Exchange,
    Flow,
    Pause,
    Step,
    T,
    Work,
)
from artstore.client.settings import Profile
from artstore.client.transport import (
    CONNECT_TIMEOUT_S,
    KEEP_ALIVE_S,
    PARTIAL_OR_WHOLE,
    STALL_TIMEOUT_S,
    certificate_failure_in,
    certificate_refused,
    connection_failure,
    tls_context,
)
from artstore.core.errors import ArtStoreError

RECEIVE_BYTES: Final = 256 * 1024

EXPECT_BYTES_MIN: Final = 1 << 20
"""A body of this size waits for `100 Continue`: a refusal then costs no transfer."""


class AsyncTransport:
    """Belongs to one event loop. `connections` bounds those open at a time."""

    def __init__(self, profile: Profile, calls: Calls, connections: int) -> None:
        self._edge_url = profile.edge_url
        self._tls = tls_context(profile)
        self._calls = calls
        self._connections = connections
        self._authorizing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    result = await self._perform(step)
                except (ArtStoreError, OSError) as failure:
                    step = flow.throw(failure)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            flow.close()

    async def _perform(self, step: Step) -> Any:
        match step:
            case Exchange():
                return await self._exchange(step)
            case Work():
                return await asyncio.to_thread(step.call)
            case Pause():
                return await asyncio.sleep(step.delay_s)
            case Authorize():
                async with self._authorizing:
                    if self._calls.fresh_token(step.stale) is None:
                        await self.run(self._calls.fetch_token(step.stale))
                return None

    async def _exchange(self, exchange: Exchange) -> Answer:
        body = exchange.request.body
        outgoing = None if body is None or isinstance(body, bytes) else _Outgoing(body)
        try:
            async with asyncio.timeout(STALL_TIMEOUT_S) as stall:
                return await self._transfer(exchange, outgoing, stall)
        except TimeoutError as failure:
            raise connection_failure(exchange, "the server did not answer in time") from failure
        except aiohttp.ClientConnectorError as failure:
            if certificate_failure := certificate_failure_in(failure):
                raise certificate_refused(self._edge_url, certificate_failure) from failure
            text = f"no connection to {self._edge_url}: {failure.os_error.strerror}"
            raise connection_failure(exchange, text, unreachable=True) from failure
        except aiohttp.ClientError as failure:
            if outgoing is not None and outgoing.failure is not None:
                raise outgoing.failure from None
            raise connection_failure(exchange, f"the connection was cut: {failure}") from failure

    async def _transfer(
        self, exchange: Exchange, outgoing: "_Outgoing | None", stall: asyncio.Timeout
    ) -> Answer:
        request, sink = exchange.request, exchange.sink
        headers = dict(exchange.headers)
        if outgoing is not None and outgoing.size_bytes is not None:
            headers["content-length"] = str(outgoing.size_bytes)
        async with self._open_session().request(
            request.method,
            URL(self._edge_url + request.target, encoded=True),
            headers=headers,
            data=outgoing.chunks(stall) if outgoing is not None else request.body,
            expect100=outgoing is not None and outgoing.is_large,
            allow_redirects=False,
        ) as response:
            if sink is None or response.status not in PARTIAL_OR_WHOLE:
                answer = Answer(response.status, response.headers, await response.read())
                if outgoing is not None and response.status >= 400:
                    response.close()  # part of the body may not be sent: no next request here
                return answer
            answer = Answer(response.status, response.headers)
            await asyncio.to_thread(sink.begin, answer)
            while chunk := await response.content.read(RECEIVE_BYTES):
                _postpone(stall)
                await asyncio.to_thread(sink.write, chunk)
            return answer

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._tls if self._tls is not None else True,
                    limit=self._connections,
                    keepalive_timeout=KEEP_ALIVE_S,
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=RECEIVE_BYTES,
            )
        return self._session


class _Outgoing:
    """Reads a body in worker threads and remembers why that failed."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.size_bytes = body.size_bytes
        self.failure: ArtStoreError | OSError | None = None

    @property
    def is_large(self) -> bool:
        return self.size_bytes is None or self.size_bytes >= EXPECT_BYTES_MIN

    async def chunks(self, stall: asyncio.Timeout) -> AsyncIterator[bytes]:
        iterator = self._body.chunks()
        try:
            while chunk := await asyncio.to_thread(next, iterator, b""):
                _postpone(stall)
                yield chunk
        except (ArtStoreError, OSError) as failure:
            # aiohttp hides what its caller's generator raised behind a failure of its own.
            self.failure = failure
            raise


def _postpone(stall: asyncio.Timeout) -> None:
    stall.reschedule(asyncio.get_running_loop().time() + STALL_TIMEOUT_S)
