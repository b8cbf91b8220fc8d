"""Logs: one JSON object a line on stdout. An event is a short constant text with fields.

Fields of every line: `timestamp, level, event, service, instance`, and `trace_id` while a
request is served. Secrets, tokens and names of documents are never logged. Each request ends
in one line; what its services found worth telling (`note`) stands in it.
"""

import atexit
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, BinaryIO, Final

import orjson
import structlog
from structlog.types import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from artstore.core.request_lines import REQUEST_EVENT, FinishedRequest, RequestLines
from artstore.core.tracing import current_trace_id

FLUSH_AFTER_S: Final = 0.05

_notes: ContextVar[dict[str, object] | None] = ContextVar("notes", default=None)


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
    origin = {"service": service, "instance": instance} if threshold <= logging.INFO else None
    lines = _GatheringLogger(sys.stdout.buffer, RequestLines(origin) if origin else None)
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_to_json)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    handler = _LibraryLines(lines)
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


def also_send(send: Callable[[bytes], None]) -> None:
    """Every line also to `send`, which must not wait; from a thread of its own. Lines of what
    sends are left out: that the collector is away cannot be told to the collector."""
    lines = structlog.get_config()["logger_factory"]()
    assert isinstance(lines, _GatheringLogger)
    lines.also_send = send


def get_logger() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def begin_notes() -> dict[str, object]:
    """For a request that begins: what `note` will fill."""
    notes: dict[str, object] = {}
    _notes.set(notes)
    return notes


def note(**fields: object) -> None:
    """Add fields to the log line of the request that is served now; nothing outside of one."""
    notes = _notes.get()
    if notes is not None:
        notes.update(fields)


class RequestLog:
    """Writes the line a request ends in, as `get_logger().info("request", ...)` would, for a
    tenth of the cost: it is put into its form later, in the thread that writes it. Create it
    behind `configure_logging`."""

    def __init__(self) -> None:
        lines = structlog.get_config()["logger_factory"]()
        self._lines = lines if isinstance(lines, _GatheringLogger) else None

    def write(self, request: FinishedRequest) -> None:
        if self._lines is not None:
            self._lines.request(request)
        else:
            get_logger().info(REQUEST_EVENT, **request.fields())


class _GatheringLogger:
    """Writes lines together, at the latest after `FLUSH_AFTER_S`; warnings at once.

    A line at a time costs a system call and wakes up whoever reads the pipe: a tenth of a
    small upload. A process that is killed loses what it said in its last moment.
    """

    def __init__(self, file: BinaryIO, requests: RequestLines | None) -> None:
        """`requests`: `None` if nobody wants lines on requests."""
        self._file = file
        self._requests = requests
        self.also_send: Callable[[bytes], None] | None = None
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: list[bytes | FinishedRequest] = []
        self._is_woken = False
        self._has_lines = threading.Event()
        threading.Thread(target=self._run, name="log-lines", daemon=True).start()
        atexit.register(self.flush)

    def info(self, line: bytes | FinishedRequest) -> None:
        with self._lock:
            self._waiting.append(line)
            if self._is_woken:
                return
            self._is_woken = True
        self._has_lines.set()

    def request(self, request: FinishedRequest) -> None:
        if self._requests is not None:
            self.info(request)

    def warning(self, line: bytes) -> None:
        self.info(line)
        self.flush()

    msg = debug = info
    error = critical = exception = warning

    def flush(self) -> None:
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                self._is_woken = False
            lines = [self._bytes_of(line) for line in waiting]
            if lines:
                self._file.write(b"".join(lines))
                self._file.flush()
        if self.also_send is not None:
            for line, said in zip(lines, waiting, strict=True):
                if not isinstance(said, _KeptHere):
                    self.also_send(line)

    def _bytes_of(self, line: bytes | FinishedRequest) -> bytes:
        if isinstance(line, bytes):
            return line + b"\n"
        assert self._requests is not None
        return self._requests.bytes_of(line)

    def _run(self) -> None:
        while True:
            self._has_lines.wait()
            self._has_lines.clear()
            time.sleep(FLUSH_AFTER_S)
            self.flush()


class _KeptHere(bytes):
    """A line about the sending of lines."""


class _LibraryLines(logging.Handler):
    """Lines of libraries go the way of ours."""

    def __init__(self, lines: _GatheringLogger) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        kind = _KeptHere if record.name.startswith(("opentelemetry", "urllib3")) else bytes
        self._lines.warning(kind(self.format(record).encode()))


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
