"""Log lines as OpenTelemetry's log records, sent to a collector (S25)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import orjson
from opentelemetry import trace as otel
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource

_SEVERITY: Final = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
    "exception": SeverityNumber.ERROR,
}
_OF_THE_PROCESS: Final = frozenset({"service", "instance"})
"""Stand in the resource already."""


def line_exporter(resource: Resource, exporter: LogRecordExporter) -> Callable[[bytes], None]:
    """What takes a line as it is written; it never waits, and drops lines when too many do."""
    provider = LoggerProvider(resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("artstore")

    def export(line: bytes) -> None:
        logger.emit(record_of(orjson.loads(line)))

    return export


def record_of(fields: dict[str, Any]) -> LogRecord:
    level = fields.pop("level")
    timestamp = datetime.fromisoformat(fields.pop("timestamp"))
    trace_id = fields.pop("trace_id", None)
    return LogRecord(
        timestamp=int(timestamp.timestamp() * 1e6) * 1000,
        context=_of_trace(trace_id) if trace_id else Context(),
        severity_text=level.upper(),
        severity_number=_SEVERITY[level],
        body=fields.pop("event"),
        attributes={
            name: value
            if isinstance(value, str | int | float | bool)
            else orjson.dumps(value).decode()
            for name, value in fields.items()
            if name not in _OF_THE_PROCESS and value is not None
        },
    )


def _of_trace(trace_id: str) -> Context:
    """Lines know no span, only the trace: it is what people look for."""
    ids = otel.SpanContext(int(trace_id, 16), 0, is_remote=False)
    return otel.set_span_in_context(otel.NonRecordingSpan(ids), Context())
