import asyncio

import pytest

from artstore.core.tracing import (
    child_of,
    current_trace_id,
    enter_trace,
    new_trace,
    parse_traceparent,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_a_context_survives_the_header() -> None:
    trace = new_trace(sampled=True)

    assert parse_traceparent(trace.traceparent) == trace


def test_the_trace_stays_and_the_span_changes_from_hop_to_hop() -> None:
    parent = parse_traceparent(f"00-{TRACE}-{SPAN}-01")
    assert parent is not None
    child = child_of(parent, sampled=False)

    assert (child.trace_id, child.sampled) == (TRACE, False)
    assert child.span_id != SPAN


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}x-{SPAN}-01",
    ],
)
def test_a_malformed_header_is_as_none(header: str) -> None:
    assert parse_traceparent(header) is None


async def test_tasks_do_not_see_each_others_trace() -> None:
    async def serve() -> tuple[str, str | None]:
        trace = new_trace(sampled=False)
        enter_trace(trace)
        await asyncio.sleep(0)
        return trace.trace_id, current_trace_id()

    for own, seen in await asyncio.gather(*(asyncio.create_task(serve()) for _ in range(20))):
        assert own == seen
