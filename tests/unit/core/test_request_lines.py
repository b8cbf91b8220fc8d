"""The line in which a request ends."""

from typing import Any

import orjson
import pytest

from artstore.core.request_lines import FinishedRequest, RequestLines

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LINES = RequestLines({"service": "query", "instance": "query-1"})


def line_of(**changes: Any) -> dict[str, object]:
    request = FinishedRequest(
        method="GET",
        route='/api/v1/files/{file_id}/"quoted"',
        status=200,
        peer=None,
        duration_s=0.0012345,
        trace_id=TRACE,
        ended_s=1795375815.123456,
        notes={},
    )
    line = LINES.bytes_of(request._replace(**changes))
    assert line.endswith(b"}\n")
    parsed: dict[str, object] = orjson.loads(line)
    return parsed


def test_a_line_says_who_answered_what() -> None:
    assert line_of() == {
        "timestamp": "2026-11-22T19:30:15.123456Z",
        "level": "info",
        "event": "request",
        "service": "query",
        "instance": "query-1",
        "trace_id": TRACE,
        "method": "GET",
        "route": '/api/v1/files/{file_id}/"quoted"',
        "status": 200,
        "peer": None,
        "duration_ms": 1.23,
    }


def test_notes_stand_beside_the_rest() -> None:
    line = line_of(notes={"file_id": "Отчёт\n", "size": 5, "odd": object})

    assert (line["file_id"], line["size"], line["odd"]) == ("Отчёт\n", 5, "<class 'object'>")
    assert line["trace_id"] == TRACE


@pytest.mark.parametrize(
    ("field", "value"),
    [("method", "PUT"), ("route", "/other"), ("status", 404), ("peer", "ingester/ingester-1")],
)
def test_requests_are_not_mistaken_for_each_other(field: str, value: object) -> None:
    line_of()

    assert line_of(**{field: value})[field] == value


@pytest.mark.parametrize(
    ("ended_s", "timestamp"),
    [
        (1795375815.0, "2026-11-22T19:30:15.000000Z"),
        (1795375815.999999, "2026-11-22T19:30:15.999999Z"),
        (1795375816.000001, "2026-11-22T19:30:16.000001Z"),
        (0.5, "1970-01-01T00:00:00.500000Z"),
    ],
)
def test_the_time_is_that_of_the_end(ended_s: float, timestamp: str) -> None:
    assert line_of(ended_s=ended_s)["timestamp"] == timestamp


def test_without_the_usual_log_the_same_fields_are_told() -> None:
    line = line_of(notes={"size": 5})
    request = FinishedRequest(
        "GET", '/api/v1/files/{file_id}/"quoted"', 200, None, 0.0012345, TRACE, 0.0, {"size": 5}
    )

    assert request.fields().items() <= line.items()
