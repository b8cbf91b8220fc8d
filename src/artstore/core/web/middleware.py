"""What happens to every request, whatever module it reaches.

Plain ASGI and no more than one layer per concern: this runs on the hot path.
"""

from collections.abc import Mapping
from time import perf_counter, time
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artstore.core import errors
from artstore.core.logging import RequestLog, begin_notes, get_logger
from artstore.core.metrics import HTTP_REQUEST_DURATION, HTTP_REQUESTS
from artstore.core.request_lines import FinishedRequest
from artstore.core.spans import OpenSpan, Traces, begin_request
from artstore.core.tls import PeerIdentity
from artstore.core.tracing import TraceContext, enter_trace, parse_traceparent
from artstore.core.web.fields import field_of
from artstore.core.web.problems import PROBLEM, problem_response
from artstore.core.web.safe_headers import with_safe_headers

PEER_EXTENSION = "artstore.peer"
"""Where the server puts the identity of the client certificate."""

OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready"})
_QUIET_PATHS: Final = OPEN_PATHS | {"/metrics"}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CLIENT_LEFT = 499


class RequestTelemetry:
    """Trace context, metrics and one log line for each request; the last net for failures."""

    def __init__(self, app: ASGIApp, service: str, traces: Traces | None) -> None:
        self._app = app
        self._traces = traces
        self._log = get_logger()
        self._requests = RequestLog()
        self._metrics = _BoundMetrics(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace, span = begin_request(
            self._traces,
            scope["method"],
            _parent_of(scope),
            quiet=scope["path"] in _QUIET_PATHS,
        )
        enter_trace(trace)
        notes = begin_notes()
        started_s = perf_counter()
        answer = _Answer(send, trace.trace_id)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001  the edge of the process: log it, answer 500
            await self._fail(scope, answer, receive, error)
        finally:
            if PROBLEM in scope:
                _notice_refusal(scope)
            self._end(scope, answer, span, perf_counter() - started_s, notes)

    def _end(
        self,
        scope: Scope,
        answer: "_Answer",
        span: OpenSpan | None,
        duration_s: float,
        notes: Mapping[str, object],
    ) -> None:
        status = answer.status
        route = _route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        exemplar = answer.trace_id if span is not None else None
        self._metrics.observe(method, route, status, duration_s, exemplar)
        if span is not None:
            span.answered(method, route, status)
        if scope["path"] not in _QUIET_PATHS:
            self._requests.write(
                FinishedRequest(
                    method,
                    route,
                    status,
                    _peer_name(scope),
                    duration_s,
                    answer.trace_id,
                    time(),
                    notes,
                )
            )

    async def _fail(
        self, scope: Scope, answer: "_Answer", receive: Receive, error: Exception
    ) -> None:
        self._log.error("request crashed", error=repr(error), exc_info=error)
        if answer.started:
            # Half an answer must not look like a whole one: the server cuts the connection.
            raise error
        await problem_response(errors.InternalError())(scope, receive, answer.send)


class _Answer:
    """Watches the answer go out and adds to its head what every answer says."""

    def __init__(self, send: Send, trace_id: str) -> None:
        self._send = send
        self.trace_id = trace_id
        self._correlation = (b"x-correlation-id", trace_id.encode())
        self.status = CLIENT_LEFT
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = with_safe_headers(message.get("headers", ()))
            headers.append(self._correlation)
            message["headers"] = headers
        await self._send(message)


class _BoundMetrics:
    """Label look-ups of prometheus_client cost more than counting; do each once.

    Bounded by the number of routes, methods and statuses, since unknown ones are folded.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._bound: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(
        self, method: str, route: str, status: int, duration_s: float, trace_id: str | None
    ) -> None:
        bound = self._bound.get((method, route, status))
        if bound is None:
            bound = self._bound[method, route, status] = (
                HTTP_REQUESTS.labels(self._service, method, route, str(status)),
                HTTP_REQUEST_DURATION.labels(self._service, route),
            )
        counter, histogram = bound
        counter.inc()
        histogram.observe(duration_s, {"trace_id": trace_id} if trace_id else None)


class RequireClientCertificate:
    """Refuses whoever showed no certificate of our CA, except on `OPEN_PATHS`.

    A layer and not a dependency, so that a new route cannot forget it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["path"] not in OPEN_PATHS
            and scope.get("extensions", {}).get(PEER_EXTENSION) is None
        ):
            refusal = errors.ClientCertificateRequired(
                "this service answers only to clients with a certificate of the installation"
            )
            await problem_response(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _notice_refusal(scope: Scope) -> None:
    """See `core.web.refusals`; an application that reports nothing has none."""
    refusals = getattr(scope["app"].state, "refusals", None)
    if refusals is not None:
        refusals.noticed(scope)


def _parent_of(scope: Scope) -> TraceContext | None:
    header = field_of(scope, b"traceparent")
    return None if header is None else parse_traceparent(header)


def _route_of(scope: Scope) -> str:
    """The template (`/files/{file_id}`), never the path: paths have no bound."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"


def _peer_name(scope: Scope) -> str | None:
    peer: PeerIdentity | None = scope.get("extensions", {}).get(PEER_EXTENSION)
    return f"{peer.module}/{peer.instance}" if peer else None
