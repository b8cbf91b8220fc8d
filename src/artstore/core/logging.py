"""Logs: one JSON object a line on stdout. An event is a short constant text with fields.

Fields of every line: `timestamp, level, event, service, instance`, and `trace_id` while a
request is served. Secrets, tokens and names of documents are never logged.
"""

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.types import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from artstore.core.tracing import current_trace_id


def configure_logging(service: str, instance: str, level: str) -> None:
    """Once per process. Lines of libraries (uvicorn, SQLAlchemy...) take the same form."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Origin(service, instance),
        # Text without the local variables: those may hold secrets.
        structlog.processors.format_exc_info,
    ]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_to_json)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_text),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries are chatty; what they say below a warning nobody has ever needed here.
    root.setLevel(max(threshold, logging.WARNING))


def get_logger() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


class _Origin:
    def __init__(self, service: str, instance: str) -> None:
        self._service = service
        self._instance = instance

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = self._service
        event["instance"] = self._instance
        trace_id = current_trace_id()
        if trace_id is not None:
            event["trace_id"] = trace_id
        return event


def _to_json(event: EventDict, **_: Any) -> bytes:
    return orjson.dumps(event, default=str)


def _to_text(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
