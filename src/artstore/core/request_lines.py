"""The line in which a request ends, in the log: put together for a tenth of what a line costs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import orjson

REQUEST_EVENT: Final = "request"


class FinishedRequest(NamedTuple):
    """A request that was answered, or left by its client."""

    method: str
    route: str
    status: int
    peer: str | None
    duration_s: float
    trace_id: str
    ended_s: float
    """Seconds since 1970."""
    notes: Mapping[str, object]
    """What its services found worth telling."""

    def fields(self) -> dict[str, object]:
        return {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "peer": self.peer,
            "duration_ms": round(self.duration_s * 1000, 2),
            **self.notes,
        }


class RequestLines:
    """Makes lines of finished requests. For one thread at a time.

    What many lines have in common is encoded once. That is bounded: methods and routes are those
    that exist, peers have certificates of the installation.
    """

    def __init__(self, origin: Mapping[str, str]) -> None:
        """`origin`: the fields that say who writes."""
        self._origin = origin
        self._heads: dict[tuple[str, str, int, str | None], bytes] = {}
        self._second = 0
        self._second_text = b""

    def bytes_of(self, request: FinishedRequest) -> bytes:
        key = request[:4]
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = self._head(request)
        notes = orjson.dumps(request.notes, default=str)[1:-1] + b"," if request.notes else b""
        return b'%b,"duration_ms":%.2f,%b"timestamp":"%b","trace_id":"%b"}\n' % (
            head,
            request.duration_s * 1000,
            notes,
            self._timestamp(request.ended_s),
            request.trace_id.encode(),
        )

    def _head(self, request: FinishedRequest) -> bytes:
        fields = {
            "event": REQUEST_EVENT,
            "level": "info",
            **self._origin,
            "method": request.method,
            "route": request.route,
            "status": request.status,
            "peer": request.peer,
        }
        return orjson.dumps(fields)[:-1]

    def _timestamp(self, unix_s: float) -> bytes:
        second, microsecond = divmod(int(unix_s * 1_000_000), 1_000_000)
        if second != self._second:
            moment = datetime.fromtimestamp(second, UTC)
            self._second = second
            self._second_text = moment.strftime("%Y-%m-%dT%H:%M:%S").encode()
        return b"%b.%06dZ" % (self._second_text, microsecond)
