"""Which request are we serving? W3C trace context, carried from hop to hop.

The trace id is the correlation id: it stands in every log line, in every error body and in
the header `X-Correlation-Id`. It exists for every request; spans are made only for sampled
ones (see `core.spans`).
"""

import random
import re
from contextvars import ContextVar
from typing import NamedTuple

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]([0-9a-f])(?:-.*)?")
_SAMPLED_DIGITS = "13579bdf"
"""Of the last four flags; the lowest says sampled."""
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16

_current: ContextVar["TraceContext | None"] = ContextVar("trace", default=None)


class TraceContext(NamedTuple):
    """One request: `trace_id` 32 and `span_id` 16 lower-case hex digits."""

    trace_id: str
    span_id: str
    sampled: bool

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(header: str) -> TraceContext | None:
    """The caller's context; `None` when the header is absent or malformed."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    trace_id, span_id, last_flags = match.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, last_flags in _SAMPLED_DIGITS)


def new_trace(*, sampled: bool) -> TraceContext:
    digits = _digits(48)
    return TraceContext(digits[:32], digits[32:], sampled)


def child_of(parent: TraceContext, *, sampled: bool) -> TraceContext:
    """A new span id in the same trace."""
    return TraceContext(parent.trace_id, _digits(16), sampled)


def _digits(count: int) -> str:
    # Unique, not secret: the system's own source would cost a system call for each request.
    # Zeros, which are no id, come once in 2**64.
    return f"{random.getrandbits(4 * count):0{count}x}"


def current_trace() -> TraceContext | None:
    return _current.get()


def current_trace_id() -> str | None:
    trace = _current.get()
    return trace.trace_id if trace else None


def enter_trace(trace: TraceContext | None) -> None:
    """Make `trace` the context of this task and the tasks it starts."""
    _current.set(trace)


def traceparent() -> str:
    """The header for an outgoing call. Work that no request began gets a trace of its own."""
    trace = _current.get()
    if trace is None:
        trace = new_trace(sampled=False)
        _current.set(trace)
    return trace.traceparent
