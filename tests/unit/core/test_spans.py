"""Which traces become spans: everybody who sees an id decides alike."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from artstore.core.spans import Traces, begin_request
from artstore.core.tracing import TraceContext, new_trace

LOW = "4bf92f3577b34da60000000000000001"
HIGH = "4bf92f3577b34da6ffffffffffffffff"
SPAN = "00f067aa0ba902b7"


def traces_of(ratio: float) -> Traces:
    return Traces(Resource.create({}), "1", ratio)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_the_decision_is_that_of_opentelemetry(ratio: float) -> None:
    ours, theirs = traces_of(ratio), TraceIdRatioBased(ratio)

    for _ in range(300):
        trace_id = new_trace(sampled=False).trace_id
        decision = theirs.should_sample(None, int(trace_id, 16), "x").decision
        assert ours.wants(trace_id) == decision.is_sampled()


@pytest.mark.parametrize("ratio", [0.001, 0.3, 1.0])
def test_an_id_made_to_be_wanted_is(ratio: float) -> None:
    traces = traces_of(ratio)

    assert all(traces.wants(traces.new_wanted().trace_id) for _ in range(300))


@pytest.mark.parametrize(
    ("parent", "sampled"),
    [
        (TraceContext(LOW, SPAN, sampled=True), True),
        (TraceContext(LOW, SPAN, sampled=False), False),
        (TraceContext(HIGH, SPAN, sampled=True), False),
        (TraceContext(HIGH, SPAN, sampled=False), False),
    ],
)
def test_a_caller_may_refuse_and_cannot_demand(parent: TraceContext, *, sampled: bool) -> None:
    context, span = begin_request(traces_of(0.5), "GET", parent, quiet=False)

    assert (span is not None) == context.sampled == sampled
    assert context.trace_id == parent.trace_id
    assert context.span_id != parent.span_id


def test_probes_begin_no_trace_and_are_part_of_their_callers() -> None:
    traces = traces_of(1)

    assert begin_request(traces, "GET", None, quiet=True)[1] is None
    assert begin_request(traces, "GET", None, quiet=False)[1] is not None
    assert begin_request(traces, "GET", new_trace(sampled=True), quiet=True)[1] is not None


def test_a_finished_request_is_a_span_as_others_read_it() -> None:
    traces, exporter = traces_of(1), InMemorySpanExporter()
    traces.add_span_processor(SimpleSpanProcessor(exporter))
    parent = new_trace(sampled=True)
    context, span = begin_request(traces, "GET", parent, quiet=False)
    assert span is not None

    span.answered("GET", "/api/v1/files/{file_id}", 503)

    (told,) = exporter.get_finished_spans()
    assert told.name == "GET /api/v1/files/{file_id}"
    assert told.attributes is not None
    assert told.attributes["http.response.status_code"] == 503
    assert not told.status.is_ok
    assert told.context is not None
    assert told.parent is not None
    assert f"{told.context.span_id:016x}" == context.span_id
    assert f"{told.parent.span_id:016x}" == parent.span_id
