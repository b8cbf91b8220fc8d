"""Performs the steps of flows with blocking calls, on httpx2."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2

from artstore.client.calls import Calls
from artstore.client.messages import (
    Answer,
    Authorize,
    Body,
    Exchange,
    Flow,
    Pause,
    Sink,
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


class SyncTransport:
    """May be shared between threads."""

    def __init__(self, profile: Profile, calls: Calls) -> None:
        self._edge_url = profile.edge_url
        self._calls = calls
        self._authorizing = threading.Lock()
        self._client = httpx2.Client(
            base_url=profile.edge_url,
            verify=tls_context(profile) or True,
            timeout=httpx2.Timeout(STALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=None),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=False,  # a proxy meant for the internet would break 127.0.0.1
        )

    def close(self) -> None:
        self._client.close()

    def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    result = self._perform(step)
                except (ArtStoreError, OSError) as failure:
                    step = flow.throw(failure)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            flow.close()

    def _perform(self, step: Step) -> Any:
        match step:
            case Exchange():
                return self._exchange(step)
            case Work():
                return step.call()
            case Pause():
                return time.sleep(step.delay_s)
            case Authorize():
                with self._authorizing:
                    if self._calls.fresh_token(step.stale) is None:
                        self.run(self._calls.fetch_token(step.stale))
                return None

    def _exchange(self, exchange: Exchange) -> Answer:
        request = exchange.request
        try:
            with self._client.stream(
                request.method,
                request.target,
                headers=_headers(exchange),
                content=_content(request.body),
            ) as response:
                return _receive(response, exchange.sink)
        except httpx2.ConnectError as failure:
            if certificate_failure := certificate_failure_in(failure):
                raise certificate_refused(self._edge_url, certificate_failure) from failure
            text = f"no connection to {self._edge_url}: {failure}"
            raise connection_failure(exchange, text, unreachable=True) from failure
        except httpx2.TimeoutException as failure:
            raise connection_failure(exchange, "the server did not answer in time") from failure
        except httpx2.TransportError as failure:
            raise connection_failure(exchange, f"the connection was cut: {failure}") from failure


def _headers(exchange: Exchange) -> dict[str, str]:
    headers = dict(exchange.headers)
    body = exchange.request.body
    if body is not None and not isinstance(body, bytes) and body.size_bytes is not None:
        headers["content-length"] = str(body.size_bytes)
    return headers


def _content(body: bytes | Body | None) -> bytes | Iterator[bytes] | None:
    return body if body is None or isinstance(body, bytes) else body.chunks()


def _receive(response: httpx2.Response, sink: Sink | None) -> Answer:
    if sink is None or response.status_code not in PARTIAL_OR_WHOLE:
        return Answer(response.status_code, response.headers, response.read())
    answer = Answer(response.status_code, response.headers)
    sink.begin(answer)
    # With a chunk size, what was received before a cut would be lost in a buffer.
    for chunk in response.iter_raw():
        sink.write(chunk)
    return answer
