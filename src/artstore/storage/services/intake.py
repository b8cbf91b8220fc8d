"""Takes files in: small ones in memory and through the log, large ones through tmp/."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Final

from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError, DigestMismatch
from artstore.core.model.batch import HEAD_BYTES_MAX
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import FileDraft, FileRecord
from artstore.core.model.ids import FileId
from artstore.core.tracing import current_trace_id
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.services.frame import Frame, InMemory, split_frame
from artstore.storage.services.gate import Gate
from artstore.storage.services.threads import Threads

SMALL_HEAD_BYTES: Final = 64 << 10
"""A body that is larger than this and an inlined content together is not read into memory."""

_HASH_STEP_BYTES: Final = 2047
"""From 2048 bytes on, hashlib lets other threads run while it works. Getting the interpreter
back then takes longer than hashing a small file."""


class Intake:
    def __init__(
        self, engine: Engine, threads: Threads, gate: Gate, clock: Clock, inline_bytes_max: int
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._gate = gate
        self._clock = clock
        self.inline_bytes_max = inline_bytes_max
        self.whole_body_bytes_max = inline_bytes_max + SMALL_HEAD_BYTES

    async def receive(
        self, file_id: FileId, chunks: AsyncIterator[bytes], length: int | None
    ) -> Stored:
        """Store one file; durable on return.

        Args:
            chunks: The body, a frame. Not touched if the refusal needs none of it.
            length: Of the body, if known.

        Raises:
            ModeForbids, NoRoom, FileExists, FileDeleted, Unavailable: It cannot be stored.
            InvalidMetadata, InvalidRequest, SizeMismatch, DigestMismatch, BodyTooLarge: The
                body is not good. Nothing is kept.
        """
        if length is not None and length <= self.whole_body_bytes_max:
            return await self.receive_whole(file_id, b"".join([piece async for piece in chunks]))
        self._engine.admission.check_new(max(0, (length or 0) - HEAD_BYTES_MAX))
        frame = Frame(chunks, length)
        return await self._upload(file_id, await frame.draft(), frame, current_trace_id())

    async def receive_whole(self, file_id: FileId, body: bytes) -> Stored:
        """As `receive`, for a frame in memory."""
        draft, content = split_frame(body)
        if len(content) <= self.inline_bytes_max:
            return await self._put(file_id, draft, content)
        return await self.receive_large(file_id, draft, content, current_trace_id())

    async def receive_large(
        self, file_id: FileId, draft: FileDraft, content: bytes, trace: TraceId | None
    ) -> Stored:
        """As `receive`, for a content that is in memory and too large for the log."""
        return await self._upload(file_id, draft, InMemory(content), trace)

    async def _put(self, file_id: FileId, draft: FileDraft, content: bytes) -> Stored:
        sha256 = sha256_here(content)
        record = new_record(file_id, draft, len(content), sha256, self._clock.now())
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        cause = Cause(current_trace_id(), draft.origin)
        self._gate.put(record, content, cause, partial(self._gate.settle, answer))
        outcome = await answer
        if isinstance(outcome, ArtStoreError):
            raise outcome
        return outcome

    async def _upload(
        self, file_id: FileId, draft: FileDraft, frame: Frame | InMemory, trace: TraceId | None
    ) -> Stored:
        upload = await self._threads.run(
            self._engine.large_files.begin,
            file_id,
            frame.content_size,
            draft.expected_sha256,
            draft.original_filename,
        )
        if isinstance(upload, Stored):
            return upload
        try:
            await self._threads.write_blocks(upload.write, frame.blocks(self._threads.block_bytes))
            draft = frame.completion.fill_in(draft)
            sha256 = await self._threads.run(upload.finish)
            record = new_record(file_id, draft, upload.size, sha256, self._clock.now())
        except BaseException:
            # Also when the request is cancelled: nothing may stay behind.
            await self._threads.run(self._engine.large_files.abort, upload)
            raise
        cause = Cause(trace, draft.origin)
        return await self._threads.run(self._engine.large_files.finish, upload, record, cause)


def sha256_here(content: bytes) -> str:
    """Of a small content, without giving up the thread's turn."""
    digest = hashlib.sha256()
    for start in range(0, len(content), _HASH_STEP_BYTES):
        digest.update(content[start : start + _HASH_STEP_BYTES])
    return digest.hexdigest()


def new_record(
    file_id: FileId, draft: FileDraft, size: int, sha256: str, now: datetime
) -> FileRecord:
    """Raises:
    DigestMismatch: The sender announced other content.
    """
    if draft.expected_sha256 not in (None, sha256):
        raise DigestMismatch("the content does not have the announced SHA-256")
    return FileRecord.first(draft, file_id=file_id, size=size, sha256=sha256, now=now)
