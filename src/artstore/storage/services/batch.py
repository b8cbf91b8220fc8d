"""Takes in many small files that came in one request. One bad file fails alone."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError, InvalidRequest
from artstore.core.model.batch import BatchDraft, BatchFile, split_batch
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId, parse_file_id
from artstore.core.tracing import current_trace_id
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome
from artstore.storage.services.frame import check_size, parse_batch_draft
from artstore.storage.services.gate import Gate
from artstore.storage.services.intake import Intake, new_record, sha256_here
from artstore.storage.services.threads import Threads

PREPARED_HERE_BYTES_MAX: Final = 512 << 10
"""A larger batch is hashed and parsed in a thread: other requests would wait for it."""


class _Small(NamedTuple):
    record: FileRecord
    content: bytes
    cause: Cause


class _Large(NamedTuple):
    """Too large for the log: `Settings.inline_bytes_max` is less than a batch may hold."""

    file_id: FileId
    draft: BatchDraft
    content: bytes
    trace: TraceId | None


class _Outcomes:
    """Of a batch, by the position of the file."""

    def __init__(self, count: int, gate: Gate) -> None:
        self.found: dict[int, Outcome] = {}
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count = count
        self._gate = gate

    def settle(self, position: int, outcome: Outcome) -> None:
        """To be called in any thread."""
        self.found[position] = outcome
        if len(self.found) == self._count:
            self._gate.settle(self.complete, None)


class BatchIntake:
    def __init__(
        self, engine: Engine, intake: Intake, threads: Threads, gate: Gate, clock: Clock
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._threads = threads
        self._gate = gate
        self._clock = clock

    def check(self) -> None:
        """Refuse a batch before it is sent, if none of its files can be taken, however small.

        Raises:
            ModeForbids, NoRoom, Unavailable.
        """
        self._engine.admission.check_new(0)

    async def receive(self, body: bytes) -> list[Outcome]:
        """What became of each file, in order; durable on return where it says `Stored`.

        Raises:
            InvalidRequest: It is no batch; nothing was stored.
        """
        files = split_batch(body)
        outcomes = _Outcomes(len(files), self._gate)
        arguments = (files, self._clock.now(), current_trace_id())
        if len(body) <= PREPARED_HERE_BYTES_MAX:
            prepared = self._prepare(*arguments)
        else:
            prepared = await self._threads.run(self._prepare, *arguments)
        await self._store(prepared, outcomes)
        return [outcomes.found[position] for position in range(len(files))]

    def _prepare(
        self, files: Sequence[BatchFile], now: datetime, trace: TraceId | None
    ) -> list[_Small | _Large | ArtStoreError]:
        seen: set[str] = set()
        prepared: list[_Small | _Large | ArtStoreError] = []
        for file in files:
            try:
                if file.file_id in seen:
                    raise InvalidRequest("this id stands in the batch before", field="file_id")
                seen.add(file.file_id)
                prepared.append(self._prepare_one(file, now, trace))
            except ArtStoreError as error:
                prepared.append(error)
        return prepared

    def _prepare_one(
        self, file: BatchFile, now: datetime, trace: TraceId | None
    ) -> _Small | _Large:
        file_id = parse_file_id(file.file_id)
        draft = parse_batch_draft(file.head)
        content = file.content
        check_size(draft, len(content))
        if len(content) > self._intake.inline_bytes_max:
            return _Large(file_id, draft, content, draft.trace_id or trace)
        record = new_record(file_id, draft, len(content), sha256_here(content), now)
        return _Small(record, content, Cause(draft.trace_id or trace, draft.origin))

    async def _store(
        self, prepared: Sequence[_Small | _Large | ArtStoreError], outcomes: _Outcomes
    ) -> None:
        for position, item in enumerate(prepared):
            if isinstance(item, ArtStoreError):
                outcomes.settle(position, item)
            elif isinstance(item, _Small):
                self._gate.put(*item, partial(outcomes.settle, position))
        for position, item in enumerate(prepared):
            if isinstance(item, _Large):
                outcomes.settle(position, await self._store_large(item))
        await outcomes.complete

    async def _store_large(self, item: _Large) -> Outcome:
        try:
            return await self._intake.receive_large(*item)
        except ArtStoreError as error:
            return error
