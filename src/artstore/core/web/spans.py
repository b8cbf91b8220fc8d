"""Spans of OpenTelemetry around requests; made only for requests that are sampled."""

import random
from dataclasses import dataclass

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from artstore.core.tracing import TraceContext, child_of, new_trace


@dataclass(frozen=True, slots=True)
class RequestSpan:
    context: TraceContext
    span: otel.Span | None

    def end(self, method: str, route: str, status: int) -> None:
        if self.span is None:
            return
        self.span.update_name(f"{method} {route}")
        self.span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
            }
        )
        if status >= 500:
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()


class Spans:
    """Without a tracer (no collector is configured) requests keep their trace ids only.

    Args:
        ratio: Share of traces begun here that are sampled; a caller's decision is followed.
    """

    def __init__(self, tracer: otel.Tracer | None, ratio: float) -> None:
        self._tracer = tracer
        self._ratio = ratio

    def start(self, method: str, parent: TraceContext | None) -> RequestSpan:
        """The context of one request; `parent` is the caller's, if it sent one."""
        if self._tracer is None or not self._sampled(parent):
            context = child_of(parent) if parent else new_trace(sampled=False)
            return RequestSpan(context, None)
        span = self._tracer.start_span(
            method, _remote(parent) if parent else None, kind=SpanKind.SERVER
        )
        ids = span.get_span_context()
        context = TraceContext(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", sampled=True)
        return RequestSpan(context, span)

    def _sampled(self, parent: TraceContext | None) -> bool:
        if parent is not None:
            return parent.sampled
        return random.random() < self._ratio  # noqa: S311  a share, not a secret


def _remote(parent: TraceContext) -> Context:
    ids = otel.SpanContext(
        trace_id=int(parent.trace_id, 16),
        span_id=int(parent.span_id, 16),
        is_remote=True,
        trace_flags=otel.TraceFlags(otel.TraceFlags.SAMPLED),
    )
    return otel.set_span_in_context(otel.NonRecordingSpan(ids))
