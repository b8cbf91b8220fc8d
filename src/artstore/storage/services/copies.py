"""Takes over files from another element: the same bytes, the same record, checked on the way.

The element that is to have the copy fetches it, so nobody in between has to be trusted, and
a broken transfer leaves nothing behind. Doing it again is the same as doing it once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Final

import orjson

from artstore.core.errors import ArtStoreError, FileDeleted, UnknownFile
from artstore.core.http import Transport
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.restored import RestoreTerms
from artstore.core.tracing import current_trace_id
from artstore.core.web.problems import status_of
from artstore.storage.engine.backends.base import Incoming
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Stored
from artstore.storage.services.source import SourceElement, SourceFailed
from artstore.storage.services.threads import Threads, finished

AT_ONCE: Final = 8
"""Files in transfer at one time, over all requests: small ones share their flushes, large
ones need a block or two of memory each."""

Take = Callable[[SourceElement, FileRecord], Awaitable[Stored]]

SIGN_OF_LIFE_S: Final = 10.0
"""An empty line goes out when a file takes longer, or the caller would take us for dead."""


class Copies:
    """Create it inside the running event loop; `close()` it at the end."""

    def __init__(
        self, engine: Engine, transport: Transport, threads: Threads, inline_bytes_max: int
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._threads = threads
        self._inline_bytes_max = inline_bytes_max
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[bytes]] = set()

    def copy(self, source_url: str, files: Sequence[FileId]) -> AsyncIterator[bytes]:
        """Files that are not here, or in an earlier state. One JSON line for each, in order;
        what a line says is durable."""
        return self._lines(source_url, files, self._take)

    def repair(self, source_url: str, files: Sequence[FileId]) -> AsyncIterator[bytes]:
        """As `copy`, of files that are damaged here."""
        return self._lines(source_url, files, self._repair)

    def restore(
        self, source_url: str, files: Sequence[FileId], terms: RestoreTerms
    ) -> AsyncIterator[bytes]:
        """As `copy`, of archived files, to be read here for a while. They do not become files
        of this element."""

        async def take(source: SourceElement, record: FileRecord) -> Stored:
            return await self._restore(source, record, terms)

        return self._lines(source_url, files, take)

    async def _lines(
        self, source_url: str, files: Sequence[FileId], take: Take
    ) -> AsyncIterator[bytes]:
        source = SourceElement(self._transport, source_url)
        tasks = [self._start(source, file_id, take) for file_id in files]
        try:
            for task in tasks:
                while not (await asyncio.wait([task], timeout=SIGN_OF_LIFE_S))[0]:
                    yield b"\n"
                yield task.result()
        finally:
            # Nobody reads any more. No await here: see `Downloads`.
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Nothing is written after this."""
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _start(self, source: SourceElement, file_id: FileId, take: Take) -> asyncio.Task[bytes]:
        task = asyncio.create_task(self._line(source, file_id, take))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _line(self, source: SourceElement, file_id: FileId, take: Take) -> bytes:
        try:
            async with self._turn:
                stored = await take(source, await source.record(file_id))
        except SourceFailed as failure:
            return _refusal(file_id, failure.error, side="source")
        except ArtStoreError as error:
            return _refusal(file_id, error, side="target")
        return _json_line(
            file_id=file_id,
            status=201 if stored.created else 200,
            sha256=stored.record.sha256,
            revision=stored.record.revision,
        )

    async def _take(self, source: SourceElement, record: FileRecord) -> Stored:
        if record.deleted is None and not await self._threads.run(self._is_here, record.file_id):
            stored = await self._fetch(source, record)
            if stored.created:
                return stored
        return await self._threads.run(self._engine.changes.take_over, record, current_trace_id())

    def _is_here(self, file_id: FileId) -> bool:
        try:
            self._engine.reading.record(file_id)
        except UnknownFile:
            return False
        return True

    async def _fetch(self, source: SourceElement, record: FileRecord) -> Stored:
        if record.size <= self._inline_bytes_max:
            self._engine.admission.check_new(record.size)
            content = b"".join([block async for block in source.content(record)])
            return await self._threads.run(
                self._engine.new_files.put_copy, record, content, current_trace_id()
            )
        beginning = self._threads.begin(
            self._engine.large_files.begin,
            record.file_id,
            record.size,
            record.sha256,
            record.original_filename,
        )
        upload = await self._receive(source, record, beginning, self._engine.large_files.abort)
        if isinstance(upload, Stored):
            return upload
        return await self._threads.run(self._finish, upload, record, current_trace_id())

    def _finish(self, upload: Incoming, record: FileRecord, trace: TraceId | None) -> Stored:
        try:
            upload.finish()
        except BaseException:
            self._engine.large_files.abort(upload)
            raise
        return self._engine.large_files.finish(upload, record, Cause(trace))

    async def _repair(self, source: SourceElement, record: FileRecord) -> Stored:
        """The content only: a later state of the record follows as a copy does."""
        beginning = self._threads.begin(self._begin_repair, record)
        incoming = await self._receive(source, record, beginning, lambda begun: begun.abort())
        assert not isinstance(incoming, Stored)
        repaired = await self._threads.run(self._engine.repairs.finish, incoming, record)
        return Stored(repaired, repaired.to_json(), created=True)

    async def _restore(
        self, source: SourceElement, record: FileRecord, terms: RestoreTerms
    ) -> Stored:
        if record.deleted is not None:
            raise FileDeleted("this file was deleted")
        beginning = self._threads.begin(self._begin_restored, record)
        incoming = await self._receive(source, record, beginning, lambda begun: begun.abort())
        if isinstance(incoming, Stored):
            return incoming
        copy = await self._threads.run(self._engine.restored.finish, incoming, record, terms)
        return Stored(copy.record, copy.record.to_json(), created=True)

    def _begin_restored(self, record: FileRecord) -> Incoming | Stored:
        with suppress(UnknownFile):
            present = self._engine.restored.find(record.file_id).record
            return Stored(present, present.to_json(), created=False)
        return self._engine.restored.begin(record)

    def _begin_repair(self, record: FileRecord) -> Incoming | Stored:
        return self._engine.repairs.begin(record.file_id, record)

    async def _receive(
        self,
        source: SourceElement,
        record: FileRecord,
        beginning: asyncio.Future[Incoming | Stored],
        abort: Callable[[Incoming], None],
    ) -> Incoming | Stored:
        """Stream the content into what is being begun. Also when the caller leaves, or the
        source fails, nothing stays behind."""
        try:
            begun = await finished(beginning)
        except asyncio.CancelledError:
            if beginning.exception() is None:
                unwanted = beginning.result()
                if not isinstance(unwanted, Stored):
                    await self._threads.run(abort, unwanted)
            raise
        if isinstance(begun, Stored):
            return begun
        try:
            async with aclosing(source.content(record)) as blocks:
                await self._threads.write_blocks(begun.write, blocks)
        except BaseException:
            await self._threads.run(abort, begun)
            raise
        return begun


def _refusal(file_id: FileId, error: ArtStoreError, *, side: str) -> bytes:
    return _json_line(
        file_id=file_id,
        status=status_of(error),
        code=error.code,
        detail=error.detail,
        side=side,
        **error.fields,
    )


def _json_line(**fields: object) -> bytes:
    return orjson.dumps(fields, default=str) + b"\n"
