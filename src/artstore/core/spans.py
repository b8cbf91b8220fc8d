"""Spans of OpenTelemetry. They are made only for traces that are sampled; any other request pays
for one look at a flag.

Whether a trace is sampled follows from its id: it is, if the number in the lower half of the id
is below a bound. So everybody who sees the id comes to the same decision, also whoever finds it
hours later in an element's log, where there is no room for a flag. A caller's flag may say that a
trace is not wanted; that one is, it cannot demand (ADR 0017).
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from opentelemetry import trace as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from artstore.core.tracing import (
    TraceContext,
    child_of,
    current_trace,
    enter_trace,
    new_trace,
)

Attributes = Mapping[str, str | int]

_LOWER_HALF: Final = (1 << 64) - 1
_SAMPLED: Final = otel.TraceFlags(otel.TraceFlags.SAMPLED)
_ERROR: Final = Status(StatusCode.ERROR)
_FINE: Final = Status(StatusCode.UNSET)


class Traces(TracerProvider):
    """The provider of a process: see the rule above.

    Our own spans are put together when they end and go straight to the processor: beginning one
    through a tracer, and changing it until then, costs four times as much.
    """

    def __init__(self, resource: Resource, version: str, ratio: float) -> None:
        """`ratio`: share of traces that are sampled, 0 to 1."""
        # For spans that libraries make: the same rule, in OpenTelemetry's words.
        super().__init__(sampler=ParentBased(TraceIdRatioBased(ratio)), resource=resource)
        self._bound = round(ratio * (_LOWER_HALF + 1))
        self._scope = InstrumentationScope("artstore", version)
        self._processors: list[SpanProcessor] = []

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        super().add_span_processor(span_processor)
        self._processors.append(span_processor)

    def wants(self, trace_id: str) -> bool:
        return int(trace_id[16:], 16) < self._bound

    def new_wanted(self) -> TraceContext:
        """The beginning of a trace that every process with this ratio takes for sampled."""
        lower = int.from_bytes(os.urandom(8)) * self._bound >> 64
        trace_id = f"{os.urandom(8).hex()}{max(lower, 1):016x}"
        return child_of(TraceContext(trace_id, "", sampled=True), sampled=True)

    def finish(self, span: "OpenSpan", ended_ns: int, status: Status) -> None:
        finished = ReadableSpan(
            name=span.name,
            context=_span_context(span.context, is_remote=False),
            parent=_span_context(span.parent) if span.parent else None,
            resource=self.resource,
            attributes=span.attributes,
            links=[Link(_span_context(link)) for link in span.links],
            kind=span.kind,
            status=status,
            start_time=span.began_ns,
            end_time=ended_ns,
            instrumentation_scope=self._scope,
        )
        for processor in self._processors:
            processor.on_end(finished)


class OpenSpan:
    """A span that has begun, in `context` and below `parent`. End it once."""

    __slots__ = (
        "_traces",
        "attributes",
        "began_ns",
        "context",
        "kind",
        "links",
        "name",
        "parent",
    )

    def __init__(
        self,
        traces: Traces,
        context: TraceContext,
        parent: TraceContext | None,
        name: str,
        kind: SpanKind,
        *,
        attributes: Attributes | None = None,
        links: Sequence[TraceContext] = (),
        began_ns: int | None = None,
    ) -> None:
        self._traces = traces
        self.context = context
        self.parent = parent
        self.name = name
        self.kind = kind
        self.attributes = attributes or {}
        self.links = links
        self.began_ns = began_ns or time.time_ns()

    def end(self, *, failed: bool = False, at_ns: int | None = None) -> None:
        self._traces.finish(self, at_ns or time.time_ns(), _ERROR if failed else _FINE)

    def answered(self, method: str, route: str, status: int) -> None:
        """The end of a request."""
        self.name = f"{method} {route}"
        self.attributes = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        self.end(failed=status >= 500)


def begin_request(
    traces: Traces | None, method: str, parent: TraceContext | None, *, quiet: bool
) -> tuple[TraceContext, OpenSpan | None]:
    """The context of a request that arrives, and its span if there is to be one.

    Args:
        traces: `None` where nobody collects them: requests have trace ids all the same.
        parent: The caller's context, if it sent one.
        quiet: Nobody wants a trace of it (probes, scrapes), unless its caller does.
    """
    if parent is not None:
        sampled = traces is not None and parent.sampled and traces.wants(parent.trace_id)
        context = child_of(parent, sampled=sampled)
    else:
        context = new_trace(sampled=False)
        if traces is not None and not quiet and traces.wants(context.trace_id):
            context = context._replace(sampled=True)
    if traces is None or not context.sampled:
        return context, None
    return context, OpenSpan(traces, context, parent, method, SpanKind.SERVER)


def begin_child(name: str, kind: SpanKind, attributes: Attributes | None = None) -> OpenSpan | None:
    """A span below the current one; `None` when its trace is not sampled."""
    parent = current_trace()
    if parent is None or not parent.sampled:
        return None
    traces = _traces()
    if traces is None:
        return None
    context = child_of(parent, sampled=True)
    return OpenSpan(traces, context, parent, name, kind, attributes=attributes)


@contextmanager
def child_span(name: str, kind: SpanKind, attributes: Attributes | None = None) -> Iterator[None]:
    """Around a piece of work for the current request."""
    span = begin_child(name, kind, attributes)
    if span is None:
        yield
        return
    with _current(span):
        yield


@contextmanager
def root_span(
    name: str, links: Sequence[TraceContext] = (), **attributes: str | int
) -> Iterator[TraceContext]:
    """Around work that no request began: it gets a trace of its own, now the current one.

    Args:
        links: Spans of other traces it works for; if one is sampled, so is this.
    """
    traces = _traces()
    sampled = [link for link in links if link.sampled]
    fresh = new_trace(sampled=False)
    if traces is None or not (sampled or traces.wants(fresh.trace_id)):
        enter_trace(fresh)
        yield fresh
        return
    context = traces.new_wanted() if sampled else fresh._replace(sampled=True)
    span = OpenSpan(
        traces, context, None, name, SpanKind.INTERNAL, attributes=attributes, links=sampled
    )
    with _current(span):
        yield span.context


class Step(NamedTuple):
    """A piece of work that is over."""

    name: str
    kind: SpanKind
    began_ns: int
    ended_ns: int
    attributes: Attributes


def record_in(trace_ids: Iterable[str], whole: Step, part: Step) -> None:
    """What was done at once for many traces, as spans in each that is sampled.

    Only the ids are known, so `whole` has no parent there.
    """
    traces = _traces()
    if traces is None:
        return
    for trace_id in trace_ids:
        if traces.wants(trace_id):
            unknown = TraceContext(trace_id, "", sampled=True)
            around = _ended(traces, unknown, whole)
            _ended(traces, around, part, around)


def _ended(
    traces: Traces, trace: TraceContext, step: Step, parent: TraceContext | None = None
) -> TraceContext:
    context = child_of(trace, sampled=True)
    span = OpenSpan(
        traces,
        context,
        parent,
        step.name,
        step.kind,
        attributes=step.attributes,
        began_ns=step.began_ns,
    )
    span.end(at_ns=step.ended_ns)
    return context


@contextmanager
def _current(span: OpenSpan) -> Iterator[None]:
    before = current_trace()
    enter_trace(span.context)
    failed = True
    try:
        yield
        failed = False
    finally:
        span.end(failed=failed)
        enter_trace(before)


def _traces() -> Traces | None:
    provider = otel.get_tracer_provider()
    return provider if isinstance(provider, Traces) else None


def _span_context(trace: TraceContext, *, is_remote: bool = True) -> otel.SpanContext:
    return otel.SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote, _SAMPLED)
