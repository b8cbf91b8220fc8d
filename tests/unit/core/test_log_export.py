"""A line of the log as OpenTelemetry sees it."""

import orjson
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.resources import Resource
from tests.support.processes import wait_until

from artstore.core.log_export import line_exporter, record_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LINE = {
    "timestamp": "2026-11-22T19:30:15.123456Z",
    "level": "warning",
    "event": "request failed",
    "service": "query",
    "instance": "query-1",
    "trace_id": TRACE,
    "status": 503,
    "reasons": ["a", "b"],
    "peer": None,
}


def test_a_line_becomes_a_record() -> None:
    record = record_of(dict(LINE))

    assert (record.body, record.severity_text) == ("request failed", "WARNING")
    assert record.severity_number is SeverityNumber.WARN
    assert record.trace_id == int(TRACE, 16)
    assert record.timestamp == 1795375815123456000
    assert record.attributes == {"status": 503, "reasons": '["a","b"]'}


def test_a_line_without_a_trace_has_none() -> None:
    line = {name: value for name, value in LINE.items() if name != "trace_id"}

    assert record_of(line).trace_id == 0


def test_lines_are_gathered_and_sent() -> None:
    exporter = InMemoryLogRecordExporter()
    export = line_exporter(Resource.create({"service.name": "query"}), exporter)
    export(orjson.dumps(LINE))

    wait_until(lambda: len(exporter.get_finished_logs()) == 1, "the record being sent")
