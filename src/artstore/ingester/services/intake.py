"""Takes a file in: finds it an element, gives it an id, sees to it that it is stored once.

Nothing is kept here. The upload is over when an element has it on stable storage.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from artstore.core.clock import Clock
from artstore.core.errors import (
    ArtStoreError,
    DigestMismatch,
    FileBusy,
    FileExists,
    IdempotencyKeyReused,
    InternalError,
    InvalidMetadata,
    ModeForbids,
    NoRoom,
    SizeMismatch,
    Unavailable,
    UploadUnderWay,
)
from artstore.core.logging import note
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileDraft, FileRecord
from artstore.core.model.ids import FileId, FileIdSource, file_id_time
from artstore.ingester.services.content import Flowing, take
from artstore.ingester.services.flow import NotReached
from artstore.ingester.services.idempotency import check_same
from artstore.ingester.services.inspection import Inspector
from artstore.ingester.services.placement import (
    RETRY_AFTER_S,
    ElementDirectory,
    ElementReport,
    Placement,
    mode_for,
)
from artstore.ingester.services.rules import CachedRules

PASS_ON: Final = (NoRoom, ModeForbids, FileExists)
"""Refusals that say nothing about the file: another element may take it."""

FIRST_ATTEMPT_WITHIN: Final = timedelta(seconds=5)
"""Of a key's making. While an element is away, only what is sent for the first time may go on."""

ID_RANDOM_BYTES: Final = 10
IDS_AT_ONCE: Final = 256

SENDERS_FAULT: Final = (DigestMismatch, SizeMismatch, InvalidMetadata)


class Writer(Protocol):
    """Puts a file on one element; see `delivery.Elements` for what each failure means."""

    async def put(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: bytes
    ) -> FileRecord: ...

    async def put_flowing(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: Flowing
    ) -> FileRecord: ...


class Stored(NamedTuple):
    record: FileRecord
    element_id: str


class Records(Protocol):
    """What an element says of a file; see `delivery.Elements.record`."""

    async def record(self, element: ElementReport, file_id: FileId) -> FileRecord | None: ...


class Earlier:
    """Asks the elements for a file that may have been stored before."""

    def __init__(self, directory: ElementDirectory, records: Records, clock: Clock) -> None:
        self._directory = directory
        self._records = records
        self._clock = clock

    async def find(self, file_id: FileId) -> Stored | None:
        """
        Raises:
            Unavailable: An element that may have it does not answer.
            IdempotencyKeyReused: It was stored, and deleted since.
        """
        elements = self._directory.reports()
        found = await asyncio.gather(*(self._ask(element, file_id) for element in elements))
        for element, record in zip(elements, found, strict=True):
            if record is not None:
                if record.deleted is not None:
                    raise IdempotencyKeyReused("the file of this Idempotency-Key was deleted")
                return Stored(record, element.element_id)
        return None

    async def _ask(self, element: ElementReport, file_id: FileId) -> FileRecord | None:
        try:
            return await self._records.record(element, file_id)
        except Unavailable:
            if self._clock.now() - file_id_time(file_id) < FIRST_ATTEMPT_WITHIN:
                # Just made: this is the first time that it is sent, or nearly.
                return None
            raise


class Intake:
    def __init__(
        self,
        placement: Placement,
        writer: Writer,
        clock: Clock,
        *,
        rules: CachedRules,
        inspector: Inspector,
        earlier: Earlier,
    ) -> None:
        self._earlier = earlier
        self._rules = rules
        self._inspector = inspector
        self._placement = placement
        self._writer = writer
        self._clock = clock
        self._ids = FileIdSource()
        self._random = _random_bytes()

    async def store(
        self,
        draft: FileDraft,
        chunks: AsyncIterator[bytes],
        *,
        size_guess: int = 0,
        file_id: FileId | None = None,
    ) -> Stored:
        """Returns when the file is durable. On any failure nothing of it is visible.

        Args:
            draft: Its `size` is what the sender declared, if it did.
            chunks: The content. Read only after an element with room was found.
            size_guess: What placement goes by when the size is not declared.
            file_id: Of an upload that may have been sent before; see `idempotency`.

        Raises:
            NoRoom: No element has room for it.
            Unavailable: No element took it; trying again may help.
            DigestMismatch, SizeMismatch, InvalidMetadata: The element refused it.
            QuotaExceeded, TypeMismatch, TypeNotAllowed: A rule of its collection forbids it.
        """
        if file_id is not None:
            earlier = await self._earlier.find(file_id)
            if earlier is not None:
                return await same_again(draft, chunks, earlier)
        size_bytes = size_guess if draft.size is None else draft.size
        rules = self._rules.of(draft.collection)
        subject = draft.uploaded_by.subject
        with self._rules.room_for(draft.collection, subject, size_bytes) as room:
            candidates = self._placement.candidates(size_bytes, mode_for(draft.retention))
            if draft.size is None and room.is_limited:
                chunks = room.growing_with(chunks)
            content = await take(chunks, draft.size)
            if isinstance(content, Flowing):
                content = self._inspector.watch(draft, content, rules)
                stored = await self._store_flowing(candidates, draft, content, file_id)
            else:
                draft = await self._inspector.look_at(draft, content, rules)
                stored = await self._store_small(candidates, draft, content, file_id)
            record = stored.record
            room.taken_bytes = record.size
        note(file_id=record.file_id, element=stored.element_id, size=record.size)
        return stored

    async def _store_small(
        self,
        candidates: Iterable[ElementReport],
        draft: FileDraft,
        content: bytes,
        file_id: FileId | None,
    ) -> Stored:
        if draft.size is None:
            draft = draft.model_copy(update={"size": len(content)})
        reasons: list[Exception] = []
        for element in candidates:
            try:
                new_id = file_id or self._new_id()
                record = await self._put_twice(element, new_id, draft, content)
            except (*PASS_ON, NotReached) as error:
                check_conflict(error, file_id)
                self._placement.pass_over(element, error)
                reasons.append(error)
                continue
            return self._checked(element, record, len(content))
        raise nobody_took_it(reasons, mode_for(draft.retention))

    async def _put_twice(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: bytes
    ) -> FileRecord:
        """A connection that breaks leaves the outcome open. The same id cannot be stored twice,
        so asking the same element again settles it; another element must not get this file."""
        try:
            return await self._writer.put(element, file_id, draft, content)
        except Unavailable:
            pass
        try:
            return await self._writer.put(element, file_id, draft, content)
        except FileBusy as error:
            raise UploadUnderWay(retry_after_s=RETRY_AFTER_S) from error
        except (Unavailable, NotReached) as error:
            self._placement.pass_over(element, error)
            raise Unavailable(
                "the storage element failed; send the file again", retry_after_s=RETRY_AFTER_S
            ) from error

    async def _store_flowing(
        self,
        candidates: Iterable[ElementReport],
        draft: FileDraft,
        content: Flowing,
        file_id: FileId | None,
    ) -> Stored:
        reasons: list[Exception] = []
        for element in candidates:
            try:
                new_id = file_id or self._new_id()
                record = await self._writer.put_flowing(element, new_id, draft, content)
            except NotReached as error:
                check_conflict(error.__cause__, file_id)
                reason = error.__cause__ if isinstance(error.__cause__, PASS_ON) else error
                self._placement.pass_over(element, reason)
                reasons.append(reason)
                continue
            except SENDERS_FAULT:
                raise
            except (*PASS_ON, Unavailable, InternalError) as error:
                check_conflict(error, file_id)
                # The bytes are gone past us: only the sender can give them again.
                self._placement.pass_over(element, error)
                raise Unavailable(
                    "the storage element failed in the middle of the file; send it again",
                    retry_after_s=RETRY_AFTER_S,
                ) from error
            return self._checked(element, record, content.size)
        raise nobody_took_it(reasons, mode_for(draft.retention))

    def _checked(self, element: ElementReport, record: FileRecord, size: int | None) -> Stored:
        if size is not None and record.size != size:
            raise InternalError
        self._placement.worked(element)
        return Stored(record, element.element_id)

    def _new_id(self) -> FileId:
        return self._ids.new(self._clock.now(), next(self._random))


def _random_bytes() -> Iterator[bytes]:
    """For one id each. To ask the system for each would cost as much as the id."""
    while True:
        many = os.urandom(ID_RANDOM_BYTES * IDS_AT_ONCE)
        for start in range(0, len(many), ID_RANDOM_BYTES):
            yield many[start : start + ID_RANDOM_BYTES]


async def same_again(draft: FileDraft, chunks: AsyncIterator[bytes], earlier: Stored) -> Stored:
    """The answer to an upload that was stored before. Its bytes come again and are compared.

    Raises:
        IdempotencyKeyReused: It is another upload.
    """
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    check_same(draft, earlier.record, size, digest.hexdigest())
    note(file_id=earlier.record.file_id, element=earlier.element_id, again=True)
    return earlier


def check_conflict(error: BaseException | None, file_id: FileId | None) -> None:
    """With an id that follows from a key, it is no accident that the element knows it.

    Raises:
        UploadUnderWay, IdempotencyKeyReused.
    """
    if file_id is None:
        return
    if isinstance(error, FileBusy):
        raise UploadUnderWay(retry_after_s=RETRY_AFTER_S) from error
    if isinstance(error, FileExists):
        raise IdempotencyKeyReused("this Idempotency-Key was used for another upload") from error


def nobody_took_it(reasons: Iterable[Exception], mode: StorageMode) -> ArtStoreError:
    if all(isinstance(reason, NoRoom) for reason in reasons):
        return NoRoom(f"no storage element in mode {mode} has room for this file")
    return Unavailable(
        f"no storage element in mode {mode} took the file", retry_after_s=RETRY_AFTER_S
    )
