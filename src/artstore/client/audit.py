"""The audit log through the API, as flows. Formats: docs/formats/audit-event.md and
docs/formats/audit-export.md. Nothing that comes back is believed here: whoever has to be sure
checks an export or a proof with keys from elsewhere.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import IO, Any, Final
from uuid import UUID

from pydantic import Base64Bytes, BaseModel, ConfigDict

from artstore.client.calls import Backoff, Calls, parse, query_target
from artstore.client.messages import Answer, Flow, Progress, Request, Work
from artstore.client.records import Pages, Parameters, call_json
from artstore.core.canonical_json import canonical_json
from artstore.core.errors import TooManyRequests, Unavailable
from artstore.core.model.audit import AuditEvent, Disclosures
from artstore.core.model.ids import parse_file_id
from artstore.core.model.page import Page

AUDIT: Final = "/api/v1/audit"


class LoggedEvent(BaseModel):
    """An entry of the log, and what is known behind its commitments."""

    model_config = ConfigDict(frozen=True)

    index: int
    event: dict[str, Any]
    """As it was logged, also when this version does not know its kind."""
    personal: Disclosures = {}

    @property
    def entry(self) -> bytes:
        """The bytes that are the leaf of the log."""
        return canonical_json(self.event)

    @property
    def parsed(self) -> AuditEvent:
        """Raises pydantic's `ValidationError` for a kind that this version does not know."""
        return AuditEvent.from_entry(self.entry)


class ProvenEvent(LoggedEvent):
    proof: str
    """c2sp.org/tlog-proof."""


class AuditKeys(BaseModel):
    """Whom this installation tells us to believe. Compare it with what was published."""

    model_config = ConfigDict(frozen=True)

    origin: str
    log_keys: tuple[str, ...]
    witness_keys: tuple[str, ...]
    quorum: int


class ProvenTimeline(BaseModel):
    model_config = ConfigDict(frozen=True)

    items: list[ProvenEvent]
    timestamp: Base64Bytes | None = None
    """RFC 3161, over the checkpoint that all proofs hold."""
    record: Base64Bytes | None = None
    """The attr.json, or what is left of it when the file was deleted."""
    receipt_key: ProvenEvent | None = None
    """That the asked key of deposit receipts was registered; `None` while the log has it not."""


class EventPages(Pages[LoggedEvent]):
    """The newest first."""

    def __init__(self, calls: Calls, parameters: Parameters, limit: int | None = None) -> None:
        super().__init__(calls, Page[LoggedEvent], f"{AUDIT}/events", parameters, limit=limit)


class TimelinePages(Pages[LoggedEvent]):
    """The oldest first."""

    def __init__(self, calls: Calls, file_id: str) -> None:
        super().__init__(calls, Page[LoggedEvent], _file_target(file_id), [])


def event_parameters(
    *, since: datetime | None, until: datetime | None, conditions: Mapping[str, str | None]
) -> Parameters:
    times = {
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
    }
    return [(name, value) for name, value in {**times, **conditions}.items() if value]


def proven_timeline(
    calls: Calls, file_id: str, receipt_kid: str | None = None
) -> Flow[ProvenTimeline]:
    parameters = [] if receipt_kid is None else [("receipt_key", receipt_kid)]
    target = query_target(f"{_file_target(file_id)}/proof", parameters)
    answer = yield from calls.call(Request("GET", target))
    return parse(ProvenTimeline, answer)


def proof(calls: Calls, index: int) -> Flow[ProvenEvent]:
    answer = yield from calls.call(Request("GET", f"{AUDIT}/proof/{index:d}"))
    return parse(ProvenEvent, answer)


def checkpoint(calls: Calls, *, confirmed: bool) -> Flow[bytes]:
    parameters = [("confirmed", "true")] if confirmed else []
    target = query_target(f"{AUDIT}/checkpoint", parameters)
    answer = yield from calls.call(Request("GET", target))
    return answer.body


def keys(calls: Calls) -> Flow[AuditKeys]:
    return parse(AuditKeys, (yield from calls.call(Request("GET", f"{AUDIT}/keys"))))


def rotate_keys(calls: Calls) -> Flow[list[str]]:
    target = f"{AUDIT}/keys/rotate"
    answer: dict[str, list[str]] = yield from call_json(calls, "POST", target, [], None)
    return answer["retired"]


def erasure(
    *,
    person: str | None,
    account: str | None,
    file_id: str | None,
    until: datetime | None,
    fields: Sequence[str],
    reason: str,
) -> dict[str, object]:
    order = {
        "person": person,
        "account": account,
        "file_id": file_id,
        "until": until,
        "fields": list(fields),
        "reason": reason,
    }
    return {name: value for name, value in order.items() if value is not None}


def erase(calls: Calls, order: Mapping[str, object]) -> Flow[int]:
    answer: dict[str, int] = yield from call_json(calls, "POST", f"{AUDIT}/erasures", [], order)
    return answer["events"]


def export(
    calls: Calls, out: IO[bytes], first: int, end: int | None, progress: Progress | None
) -> Flow[int]:
    """Into `out`, from where it stands; begun anew after a cut. Returns its length."""
    parameters = [("first", str(first))] + ([] if end is None else [("end", str(end))])
    request = Request("GET", query_target(f"{AUDIT}/export", parameters))
    sink = _ExportSink(out, progress)
    backoff = Backoff()
    while True:
        try:
            yield from calls.attempt(request, sink)
        except (Unavailable, TooManyRequests) as failure:
            pause = backoff.after(failure)
        else:
            break
        yield pause
    yield Work(out.flush)
    return sink.size_bytes


class _ExportSink:
    def __init__(self, out: IO[bytes], progress: Progress | None) -> None:
        self._out = out
        self._progress = progress
        self._start = out.tell()
        self.size_bytes = 0

    def begin(self, answer: Answer) -> None:
        self._out.seek(self._start)
        self._out.truncate()
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._out.write(chunk)
        self.size_bytes += len(chunk)
        if self._progress is not None:
            self._progress(self.size_bytes, None)


def _file_target(file_id: str) -> str:
    return f"{AUDIT}/files/{UUID(parse_file_id(file_id))}"
