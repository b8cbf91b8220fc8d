"""The way of one change, or note, into the log, for those who wait for its outcome."""

from collections.abc import Mapping
from queue import SimpleQueue
from typing import Protocol, TypeVar

import orjson

from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import FileRecord, Origin, check_attr_size
from artstore.storage.engine.entries import Done, Entry, Note, Noted, Outcome, Stored
from artstore.storage.engine.record import NO_TRACE, NOTE_BYTES_MAX, RecordType
from artstore.storage.engine.writer import Writer

Answer = TypeVar("Answer")


class WaitForOutcome(Protocol):
    def __call__(self, outcomes: "SimpleQueue[Answer]", /) -> Answer: ...


class Submission:
    """Args: `wait`: for the writer thread."""

    def __init__(self, writer: Writer, clock: Clock, wait: WaitForOutcome) -> None:
        self._writer = writer
        self._clock = clock
        self._wait = wait

    def write(
        self,
        record_type: RecordType,
        record: FileRecord,
        cause: Cause | None,
        present_name: str | None = None,
    ) -> Stored:
        """Durable and in place on return. The caller holds the file's claim.

        Raises:
            InvalidMetadata, NoRoom, Unavailable.
        """
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        entry = self.entry(record_type, record, cause, outcomes.put, present_name=present_name)
        self._writer.submit(entry)
        return self.answer(outcomes)

    def note(
        self, kind: RecordType, detail: Mapping[str, object], trace: TraceId | None = None
    ) -> int:
        """Tell everyone who follows the feed. Returns the note's sequence; durable then.

        Args:
            kind: `FINDING` or `MODE`.
            detail: A JSON object of at most `NOTE_BYTES_MAX`.

        Raises:
            NoRoom, Unavailable: Nothing was told, or that is not known.
        """
        detail_json = orjson.dumps(detail) + b"\n"
        if len(detail_json) > NOTE_BYTES_MAX:
            raise ValueError(f"a note of {len(detail_json)} bytes is too long")
        outcomes: SimpleQueue[Noted] = SimpleQueue()
        self._writer.submit(
            Note(kind, detail_json, outcomes.put, self.now_us(), _trace_bytes(trace))
        )
        outcome = self._wait(outcomes)
        if isinstance(outcome, ArtStoreError):
            raise outcome
        return outcome

    def answer(self, outcomes: SimpleQueue[Outcome]) -> Stored:
        outcome = self._wait(outcomes)
        if isinstance(outcome, ArtStoreError):
            raise outcome
        return outcome

    def entry(
        self,
        record_type: RecordType,
        record: FileRecord,
        cause: Cause | None,
        done: Done,
        *,
        at_us: int | None = None,
        content: bytes | None = None,
        present_name: str | None = None,
    ) -> Entry:
        """Args: `at_us`: if it was asked for already."""
        return Entry(
            record_type,
            record,
            check_attr_size(record),
            done,
            at_us=self.now_us() if at_us is None else at_us,
            trace=_trace_bytes(cause.trace_id if cause else None),
            origin_json=_origin_json(cause.origin if cause else None),
            content=content,
            present_name=present_name,
        )

    def now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


def _trace_bytes(trace: TraceId | None) -> bytes:
    return bytes.fromhex(trace) if trace else NO_TRACE


def _origin_json(origin: Origin | None) -> bytes:
    return orjson.dumps(origin.__dict__) + b"\n" if origin is not None else b""
