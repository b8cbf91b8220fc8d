"""Small uploads that arrive together travel to their element in one request.

A lone upload waits for nobody: it goes at once, with what arrived in the same moment. While it is
under way the next ones gather, and go together when it comes back or when they are a batch worth
its request. So the busier, the larger the batches, as in the element's own log.
"""

import asyncio
import contextvars
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from artstore.core.errors import ArtStoreError, InternalError
from artstore.core.logging import get_logger, note
from artstore.core.metrics import UPLOAD_BATCH_SIZE
from artstore.core.model.batch import BATCH_FILES_MAX
from artstore.core.model.file import FileDraft, FileRecord
from artstore.core.model.ids import ElementId, FileId
from artstore.core.spans import root_span
from artstore.core.tracing import TraceContext, current_trace, enter_trace
from artstore.ingester.services.content import Flowing, SmallFile
from artstore.ingester.services.flow import NotReached
from artstore.ingester.services.intake import Writer
from artstore.ingester.services.placement import ElementReport
from artstore.ingester.services.submission import encode_draft

LANES: Final = 2
"""Requests to one element at a time: while it makes one durable, the other is read and travels.
Whatever waits may take the first; the second, only what is worth a request."""

WORTH_A_LANE: Final = 8
"""Files: a request costs as much as some of them, and all of a group wait for one flush anyway."""

GATHERED_BYTES_MAX: Final = 4 << 20
"""What the element makes durable with one write."""


class Wire(Writer, Protocol):
    """A writer that takes many files at once; see `delivery.Elements`."""

    async def put_all(
        self, element: ElementReport, files: Sequence[SmallFile]
    ) -> list[FileRecord | ArtStoreError]: ...


@dataclass(slots=True)
class _Waiting:
    file: SmallFile
    trace: TraceContext | None
    outcome: asyncio.Future[FileRecord]
    batch_trace_id: str | None = None
    """Of the request it travelled in together with others."""

    def settle(self, outcome: FileRecord | Exception) -> None:
        if self.outcome.done():
            return
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class Batching:
    """A `Wire` that gathers. Failures are those of `put`, for each file on its own."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._queues: dict[ElementId, _Queue] = {}

    async def put(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: bytes
    ) -> FileRecord:
        queue = self._queues.get(element.element_id)
        if queue is None:
            queue = self._queues[element.element_id] = _Queue(self._wire, element)
        trace = current_trace()
        trace_id = None if trace is None else trace.trace_id
        file = SmallFile(file_id, draft, encode_draft(draft), trace_id, content)
        outcome: asyncio.Future[FileRecord] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(file, trace, outcome)
        queue.add(element, waiting)
        try:
            return await outcome
        finally:
            if waiting.batch_trace_id is not None:
                note(batch_trace_id=waiting.batch_trace_id)

    async def put_flowing(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: Flowing
    ) -> FileRecord:
        return await self._wire.put_flowing(element, file_id, draft, content)


class _Queue:
    """What waits for one element, by the account that sent it."""

    def __init__(self, wire: Wire, element: ElementReport) -> None:
        self._wire = wire
        self._element = element
        self._waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._number = 0
        """Of those that wait."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_called = False

    def add(self, element: ElementReport, waiting: _Waiting) -> None:
        # As it was last heard of: its address may change.
        self._element = element
        account = waiting.file.draft.uploaded_by.subject
        self._waiting.setdefault(account, deque()).append(waiting)
        self._number += 1
        if not self._is_called:
            # Not now, but behind the requests that arrived in the same moment.
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._send_next)

    def _send_next(self) -> None:
        self._is_called = False
        while self._waiting and self._has_lane():
            batch = self._take()
            if batch:
                self._begin(batch)

    def _has_lane(self) -> bool:
        lanes = len(self._under_way)
        return lanes == 0 or (lanes < LANES and self._number >= WORTH_A_LANE)

    def _begin(self, batch: Sequence[_Waiting]) -> None:
        # A context of its own, not that of the request which happens to be served now.
        task = asyncio.get_running_loop().create_task(
            self._send(batch), context=contextvars.Context()
        )
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._send_next()

    def _take(self) -> list[_Waiting]:
        """The next batch: one file of each account in turn, so that an account with a thousand
        files does not keep one with a single file waiting."""
        batch: list[_Waiting] = []
        size = 0
        # Shared out among the lanes, so that neither side waits for the other with all there is.
        share = max(math.ceil(self._number / (LANES - len(self._under_way))), WORTH_A_LANE)
        while self._waiting and len(batch) < min(share, BATCH_FILES_MAX):
            account, queue = self._waiting.popitem(last=False)
            waiting = queue.popleft()
            self._number -= 1
            size += waiting.file.size
            if batch and size > GATHERED_BYTES_MAX:
                queue.appendleft(waiting)
                self._number += 1
                self._waiting[account] = queue
                self._waiting.move_to_end(account, last=False)
                break
            # Who left while waiting needs no file.
            if not waiting.outcome.done():
                batch.append(waiting)
            if queue:
                self._waiting[account] = queue
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        UPLOAD_BATCH_SIZE.observe(len(batch))
        outcomes: Sequence[FileRecord | Exception]
        try:
            outcomes = await self._outcomes(batch)
        except (ArtStoreError, NotReached) as error:
            outcomes = [error] * len(batch)
        except Exception as error:  # noqa: BLE001  the edge of the task: nobody may wait for ever
            get_logger().error("batch of uploads broke", exc_info=error)
            outcomes = [InternalError()] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.settle(outcome)

    async def _outcomes(self, batch: Sequence[_Waiting]) -> Sequence[FileRecord | Exception]:
        element = self._element
        if len(batch) == 1:
            (one,) = batch
            if one.trace is not None:
                enter_trace(one.trace)
            file = one.file
            return [await self._wire.put(element, file.file_id, file.draft, file.content)]
        # A batch is part of no upload's trace: links lead from it to them, and their log lines
        # name it.
        traces = [one.trace for one in batch if one.trace is not None]
        with root_span("send batch", traces, files=len(batch)) as trace:
            for one in batch:
                one.batch_trace_id = trace.trace_id
            return await self._wire.put_all(element, [one.file for one in batch])
