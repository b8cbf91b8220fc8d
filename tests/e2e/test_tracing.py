"""One upload is one trace, from the edge to the catalogue (S13).

Method: the stack sends every span to a collector in another process, which reads them with
OpenTelemetry's own messages.
"""

import asyncio
import io
import secrets
from collections.abc import Callable
from typing import Any

import httpx2
from tests.support.collector import Collector
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.client import ArtStore, AsyncArtStore
from artstore.core.tracing import new_trace

Span = dict[str, Any]
TOGETHER = 40


def found(collector: Collector, trace_id: str, enough: Callable[[list[Span]], bool]) -> list[Span]:
    """The spans of a trace, once they are all there."""
    try:
        wait_until(lambda: enough(collector.spans(trace_id)), "all spans of the trace arriving")
    except AssertionError:
        raise AssertionError(
            [(s["service"], s["name"]) for s in collector.spans(trace_id)]
        ) from None
    return collector.spans(trace_id)


def has(*wanted: tuple[str, str]) -> Callable[[list[Span]], bool]:
    return lambda spans: set(wanted) <= {(span["service"], span["name"]) for span in spans}


def one(spans: list[Span], service: str, name: str) -> Span:
    return next(span for span in spans if (span["service"], span["name"]) == (service, name))


HOPS = (
    ("edge", "edge"),
    ("ingester", "POST /api/v1/files"),
    ("ingester", "PUT storage"),
    ("storage", "PUT /api/v1/files/{file_id}"),
    ("admin", "catalogue follow"),
    ("admin", "postgresql MERGE"),
)


def test_one_upload_is_one_trace_from_edge_to_catalogue(
    http: httpx2.Client, collector: Collector
) -> None:
    trace = new_trace(sampled=True)
    stored = http.post(
        "/api/v1/files",
        params={"filename": "traced.txt"},
        content=b"traced",
        headers={"traceparent": trace.traceparent},
    )

    assert stored.headers["x-correlation-id"] == trace.trace_id
    spans = found(collector, trace.trace_id, has(*HOPS))
    edge, ingester, call, element = (one(spans, *hop) for hop in HOPS[:4])
    assert edge["parent"] == trace.span_id
    assert ingester["parent"] == edge["span_id"]
    assert call["parent"] == ingester["span_id"]
    assert element["parent"] == call["span_id"]
    follow, merge = (one(spans, *hop) for hop in HOPS[4:])
    assert merge["parent"] == follow["span_id"]
    assert merge["attributes"]["db.system.name"] == "postgresql"


def test_uploads_that_travel_together_are_linked(
    stack: RunningStack, store: ArtStore, collector: Collector
) -> None:
    async def put_all() -> None:
        async with AsyncArtStore.from_home(stack.home) as client:
            puts = [
                client.put(io.BytesIO(secrets.token_bytes(64)), filename=f"{number}.bin")
                for number in range(TOGETHER)
            ]
            await asyncio.gather(*puts)

    asyncio.run(put_all())
    wait_until(lambda: bool(collector.spans("send batch")), "a batch")
    batch = collector.spans("send batch")[-1]

    assert len(batch["links"]) > 1
    upload = batch["links"][0]
    assert upload != batch["trace_id"]
    found(collector, upload, has(("edge", "edge"), ("admin", "catalogue follow")))
    found(collector, batch["trace_id"], has(("storage", "POST /api/v1/files:batch")))


def test_a_failed_sign_in_shows_database_and_valkey(
    stack: RunningStack, stranger: httpx2.Client, collector: Collector
) -> None:
    trace = new_trace(sampled=True)
    answer = stranger.post(
        "/api/v1/auth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": stack.client_id,
            "client_secret": "a-wrong-secret",
        },
        headers={"traceparent": trace.traceparent},
    )
    assert answer.status_code == 401

    wanted = (("admin", "postgresql SELECT"), ("admin", "POST /api/v1/auth/token"))
    spans = found(collector, trace.trace_id, has(*wanted))
    assert any(span["name"].startswith("valkey ") for span in spans)
    assert "a-wrong-secret" not in str(spans)


def test_the_edges_own_answer_bears_the_trace(
    stranger: httpx2.Client, collector: Collector
) -> None:
    answer = stranger.get("/nothing")

    assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]
    found(collector, answer.headers["x-correlation-id"], lambda spans: len(spans) > 0)


def test_a_caller_may_ask_for_no_trace_of_a_module_but_outside_the_edge_decides(
    http: httpx2.Client, collector: Collector
) -> None:
    trace = new_trace(sampled=False)
    http.get("/api/v1/files", headers={"traceparent": trace.traceparent})

    found(collector, trace.trace_id, has(("query", "GET /api/v1/files")))


def test_log_lines_reach_the_collector_too(http: httpx2.Client, collector: Collector) -> None:
    answer = http.get("/api/v1/files")
    trace_id = answer.headers["x-correlation-id"]

    wait_until(lambda: bool(collector.logs(trace_id)), "log records")
    line = next(line for line in collector.logs(trace_id) if line["service"] == "query")
    assert (line["event"], line["severity"]) == ("request", "INFO")
    assert line["attributes"]["route"] == "/api/v1/files"
