"""Takes uploads in parts. What came before a connection broke is kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Final

from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError, DigestMismatch, UnknownFile, UnknownUpload
from artstore.core.logging import get_logger
from artstore.core.model.completion import Completion
from artstore.core.model.event import Cause
from artstore.core.model.file import FileDraft, FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.open_upload import NewOpenUpload, OpenUploadState
from artstore.core.tracing import current_trace_id
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Stored
from artstore.storage.engine.open_upload import Checksum, OpenUpload
from artstore.storage.engine.open_uploads import Part
from artstore.storage.services.frame import in_blocks
from artstore.storage.services.intake import new_record
from artstore.storage.services.threads import Threads

TIDY_INTERVAL_S: Final = 60.0


class OpenUploads:
    def __init__(self, engine: Engine, threads: Threads, clock: Clock) -> None:
        self._engine = engine
        self._uploads = engine.open_uploads
        self._threads = threads
        self._clock = clock

    async def create(self, file_id: FileId, new: NewOpenUpload) -> None:
        """Raises `ModeForbids`, `NoRoom`, `Unavailable`, `FileExists`, `FileDeleted`."""
        self._engine.admission.check_new(new.size)
        await self._threads.run(self._uploads.create, file_id, new.draft, new.size, new.expires_at)

    async def state(self, file_id: FileId) -> OpenUploadState:
        """Also of one that is over: whoever did not get the last answer asks for it.

        Raises:
            UnknownUpload.
        """
        return await self._threads.run(self._state, file_id)

    async def append(
        self,
        file_id: FileId,
        offset: int,
        chunks: AsyncIterator[bytes],
        *,
        checksum: Checksum | None,
        expires_at: datetime,
    ) -> OpenUploadState:
        """Durable on return, and also when the sender leaves in the middle: what came then
        counts, unless there is a checksum that nobody can look at any more.

        Raises:
            OffsetConflict, UploadBusy, UnknownUpload: Nothing was taken.
            SizeMismatch, ChecksumMismatch, NoRoom, Unavailable.
        """
        self._engine.check()
        part = await self._threads.run(self._uploads.begin_part, file_id, offset)
        try:
            await self._receive(part, chunks, checksum)
        except BaseException:
            await self._threads.run(self._give_up, part, expires_at, is_checked=bool(checksum))
            raise
        return _state_of(await self._threads.run(part.keep, expires_at))

    async def read(
        self, file_id: FileId, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes that came so far, from byte `start` to before `stop`. Raises `UnknownUpload`
        with the first one."""
        blocks = await self._threads.run(self._uploads.read, file_id, start, stop)
        try:
            while block := await self._threads.run(_next, blocks):
                yield block
        finally:
            # The file is closed with the iterator.
            del blocks

    async def complete(self, file_id: FileId, completion: Completion) -> Stored:
        """Make it a file. Again is the same as once.

        Raises:
            SizeMismatch: Bytes are missing.
            DigestMismatch: It is not what was announced. Nothing is kept.
            ModeForbids, Unavailable, UploadBusy, UnknownUpload, FileExists, FileDeleted.
        """
        return await self._threads.run(self._complete, file_id, completion)

    async def remove(self, file_id: FileId) -> None:
        await self._threads.run(self._uploads.remove, file_id)

    async def tidy(self) -> None:
        """Removes what has expired, until cancelled."""
        while True:
            try:
                if removed := await self._threads.run(self._uploads.remove_expired):
                    get_logger().info("expired uploads removed", uploads=removed)
            except OSError as error:
                get_logger().error("expired uploads not removed", exc_info=error)
            await asyncio.sleep(TIDY_INTERVAL_S)

    async def _receive(
        self, part: Part, chunks: AsyncIterator[bytes], checksum: Checksum | None
    ) -> None:
        def write(block: bytes) -> None:
            if checksum is not None:
                checksum.update(block)
            part.write(block)

        await self._threads.write_blocks(write, in_blocks(chunks, self._threads.block_bytes))
        if checksum is not None:
            await self._threads.run(checksum.check)

    def _give_up(self, part: Part, expires_at: datetime, *, is_checked: bool) -> None:
        if is_checked:
            part.drop()
            return
        with suppress(ArtStoreError):
            part.keep(expires_at)

    def _state(self, file_id: FileId) -> OpenUploadState:
        try:
            return _state_of(self._uploads.find(file_id))
        except UnknownUpload:
            record = self._record(file_id)
        return OpenUploadState(
            file_id=file_id,
            size=record.size,
            offset=record.size,
            expires_at=record.uploaded_at,
            draft=FileDraft(
                collection=record.collection,
                original_filename=record.original_filename,
                uploaded_by=record.uploaded_by,
            ),
            record=record,
        )

    def _record(self, file_id: FileId) -> FileRecord:
        try:
            record = self._engine.reading.record(file_id)
        except UnknownFile:
            raise UnknownUpload from None
        if record.deleted is not None:
            raise UnknownUpload
        return record

    def _complete(self, file_id: FileId, completion: Completion) -> Stored:
        try:
            with self._uploads.whole(file_id) as (upload, sha256):
                return self._store(upload, sha256, completion)
        except DigestMismatch:
            with suppress(UnknownUpload):
                self._uploads.remove(file_id)
            raise

    def _store(self, upload: OpenUpload, sha256: str, completion: Completion) -> Stored:
        draft = completion.fill_in(upload.draft.model_copy(update={"size": upload.size}))
        record = new_record(upload.file_id, draft, upload.size, sha256, self._clock.now())
        incoming = self._engine.large_files.adopt(
            upload.file_id, upload.size, sha256, draft.original_filename
        )
        if isinstance(incoming, Stored):
            return incoming
        try:
            incoming.finish()
        except BaseException:
            self._engine.large_files.abort(incoming)
            raise
        return self._engine.large_files.finish(
            incoming, record, Cause(current_trace_id(), draft.origin)
        )


def _next(blocks: Iterator[bytes]) -> bytes:
    return next(blocks, b"")


def _state_of(upload: OpenUpload) -> OpenUploadState:
    return OpenUploadState(**upload.model_dump(exclude={"format_version"}))
