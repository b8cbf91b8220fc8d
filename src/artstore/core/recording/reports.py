"""Events that a module reports: durable here first, then taken over by the admin module.

So what a module lets happen is written down before it happens, also while the admin module is
away; and when that cannot be either, it does not happen.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import AUDIT_SPOOL_BYTES, AUDIT_SPOOL_LOST
from artstore.core.model.audit import AuditEvent, Disclosures, disclosures_json
from artstore.core.recording.deeds import Deed, EventMaker, Who
from artstore.core.recording.spool import Spool

BATCH_LINES_MAX: Final = 250
"""Of one call to the admin module, which checks them between other requests."""
NOTES_WAITING_MAX: Final = 10_000
GATHER_S: Final = 0.75
"""A file of the spool is taken as a whole, so under load not after each line. Longer than changes
of files are gathered on their way into the catalogue and the audit (half a second): whoever fetches
at once what he has just put should find both in the log in that order."""
RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 10.0

Deliver = Callable[[Sequence[bytes]], Awaitable[None]]
"""Hands lines to the audit. They may have been handed over before. Raises `ArtStoreError` when
that is not certain."""


@dataclass(frozen=True)
class _Waiting:
    line: bytes
    written: asyncio.Future[None] | None


class Reports:
    """One per process."""

    def __init__(self, spool: Spool, deliver: Deliver, events: EventMaker) -> None:
        self._spool = spool
        self._deliver = deliver
        self._events = events
        self._waiting: list[_Waiting] = []
        self._has_lines = asyncio.Event()
        self._has_segments = asyncio.Event()
        self._has_segments.set()
        self._closing = False

    async def record(self, who: Who, deed: Deed) -> None:
        """On return it is durable, and will be in the audit log.

        Raises:
            Unavailable: It cannot be written down, so it must not happen.
        """
        written = asyncio.get_running_loop().create_future()
        self._enqueue(_Waiting(line_of(*self._events.event_of(who, deed)), written))
        await written

    def note(self, who: Who, deed: Deed) -> None:
        """Write it down soon. For refusals: nothing has happened that would need proof."""
        if len(self._waiting) >= NOTES_WAITING_MAX:
            AUDIT_SPOOL_LOST.inc()
            return
        self._enqueue(_Waiting(line_of(*self._events.event_of(who, deed)), None))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What was noted until the end of the block is written down."""
        writing = asyncio.create_task(self._write_all(), name="write reports")
        delivering = asyncio.create_task(self._deliver_all(), name="deliver reports")
        try:
            yield
        finally:
            delivering.cancel()
            self._closing = True
            self._has_lines.set()
            await asyncio.wait([writing, delivering])

    def _enqueue(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._has_lines.set()

    async def _write_all(self) -> None:
        """Whatever came while the disk was busy is written with one flush."""
        while self._waiting or not self._closing:
            await self._has_lines.wait()
            self._has_lines.clear()
            group, self._waiting = self._waiting, []
            await self._write(group)

    async def _write(self, group: Sequence[_Waiting]) -> None:
        if not group:
            return
        failure: Unavailable | None = None
        try:
            await asyncio.to_thread(self._spool.append, [item.line for item in group])
        except Exception as error:  # noqa: BLE001  the edge of the job: whoever waits is told
            get_logger().error("audit events cannot be written down", cause=repr(error))
            AUDIT_SPOOL_LOST.inc(sum(item.written is None for item in group))
            failure = Unavailable("this must be audited, and cannot be now")
        AUDIT_SPOOL_BYTES.set(self._spool.size_bytes)
        self._has_segments.set()
        for item in group:
            if item.written is not None and not item.written.done():
                if failure is None:
                    item.written.set_result(None)
                else:
                    item.written.set_exception(failure)

    async def _deliver_all(self) -> None:
        failures = 0
        while True:
            await self._has_segments.wait()
            self._has_segments.clear()
            await asyncio.sleep(GATHER_S)
            try:
                await self._deliver_waiting()
                failures = 0
            except Exception as error:  # noqa: BLE001  the edge of the job: it is tried again
                get_logger().warning("audit events wait here", cause=repr(error))
                self._has_segments.set()
                await asyncio.sleep(min(RETRY_MIN_S * 2**failures, RETRY_MAX_S))
                failures = min(failures + 1, 8)

    async def _deliver_waiting(self) -> None:
        while (segment := await asyncio.to_thread(self._spool.oldest)) is not None:
            if segment.damaged:
                AUDIT_SPOOL_LOST.inc(segment.damaged)
                get_logger().error("audit events were damaged", lines=segment.damaged)
            for first in range(0, len(segment.lines), BATCH_LINES_MAX):
                await self._deliver(segment.lines[first : first + BATCH_LINES_MAX])
            await asyncio.to_thread(self._spool.remove, segment)
            AUDIT_SPOOL_BYTES.set(self._spool.size_bytes)


def line_of(event: AuditEvent, facts: Disclosures) -> bytes:
    """An event on its way: the entry of the log, and what opens its commitments."""
    return b'{"event":%b,"facts":%b}' % (event.to_entry(), disclosures_json(facts))
