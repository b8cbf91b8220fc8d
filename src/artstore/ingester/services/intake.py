"""Takes a file in: finds it an element, gives it an id, sees to it that it is stored once.

Nothing is kept here. The upload is over when an element has it on stable storage.
"""

import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from artstore.core.clock import Clock
from artstore.core.errors import (
    ArtStoreError,
    DigestMismatch,
    FileExists,
    InternalError,
    InvalidMetadata,
    ModeForbids,
    NoRoom,
    SizeMismatch,
    Unavailable,
)
from artstore.core.logging import get_logger, note
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileDraft, FileRecord
from artstore.core.model.ids import FileId, FileIdSource
from artstore.ingester.services.content import Flowing, Small, take
from artstore.ingester.services.flow import NotReached
from artstore.ingester.services.inspection import Inspector
from artstore.ingester.services.placement import (
    RETRY_AFTER_S,
    ElementReport,
    Placement,
    mode_for,
)
from artstore.ingester.services.rules import CachedRules

PASS_ON: Final = (NoRoom, ModeForbids, FileExists)
"""Refusals that say nothing about the file: another element may take it."""

SENDERS_FAULT: Final = (DigestMismatch, SizeMismatch, InvalidMetadata)


class Writer(Protocol):
    """Puts a file on one element; see `delivery.Elements` for what each failure means."""

    async def put(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: bytes
    ) -> FileRecord: ...

    async def put_flowing(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: Flowing
    ) -> FileRecord: ...


@dataclass(frozen=True, slots=True)
class Stored:
    record: FileRecord
    element_id: str


class Intake:
    def __init__(
        self,
        placement: Placement,
        writer: Writer,
        clock: Clock,
        *,
        rules: CachedRules,
        inspector: Inspector,
    ) -> None:
        self._rules = rules
        self._inspector = inspector
        self._placement = placement
        self._writer = writer
        self._clock = clock
        self._ids = FileIdSource()
        self._log = get_logger()

    async def store(
        self, draft: FileDraft, chunks: AsyncIterator[bytes], *, size_guess: int = 0
    ) -> Stored:
        """Returns when the file is durable. On any failure nothing of it is visible.

        Args:
            draft: Its `size` is what the sender declared, if it did.
            chunks: The content. Read only after an element with room was found.
            size_guess: What placement goes by when the size is not declared.

        Raises:
            NoRoom: No element has room for it.
            Unavailable: No element took it; trying again may help.
            DigestMismatch, SizeMismatch, InvalidMetadata: The element refused it.
            QuotaExceeded, TypeMismatch, TypeNotAllowed: A rule of its collection forbids it.
        """
        size_bytes = size_guess if draft.size is None else draft.size
        rules = self._rules.of(draft.collection)
        subject = draft.uploaded_by.subject
        with self._rules.room_for(draft.collection, subject, size_bytes) as room:
            candidates = self._placement.candidates(size_bytes, mode_for(draft.retention))
            content = await take(chunks, draft.size)
            if isinstance(content, Small):
                draft = await self._inspector.look_at(draft, content.content, rules)
                stored = await self._store_small(candidates, draft, content)
            else:
                content = self._inspector.watch(draft, content, rules)
                stored = await self._store_flowing(candidates, draft, content)
            record = stored.record
            room.taken_bytes = record.size
        note(file_id=record.file_id, element=stored.element_id, size=record.size)
        return stored

    async def _store_small(
        self, candidates: Iterable[ElementReport], draft: FileDraft, content: Small
    ) -> Stored:
        if draft.size is None:
            draft = draft.model_copy(update={"size": content.size})
        reasons: list[Exception] = []
        for element in candidates:
            try:
                record = await self._put_twice(element, self._new_id(), draft, content)
            except (*PASS_ON, NotReached) as error:
                self._pass_over(element, error)
                reasons.append(error)
                continue
            return self._checked(element, record, content.size)
        raise nobody_took_it(reasons, mode_for(draft.retention))

    async def _put_twice(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: Small
    ) -> FileRecord:
        """A connection that breaks leaves the outcome open. The same id cannot be stored twice,
        so asking the same element again settles it; another element must not get this file."""
        try:
            return await self._writer.put(element, file_id, draft, content.content)
        except Unavailable:
            pass
        try:
            return await self._writer.put(element, file_id, draft, content.content)
        except (Unavailable, NotReached) as error:
            self._pass_over(element, error)
            raise Unavailable(
                "the storage element failed; send the file again", retry_after_s=RETRY_AFTER_S
            ) from error

    async def _store_flowing(
        self, candidates: Iterable[ElementReport], draft: FileDraft, content: Flowing
    ) -> Stored:
        reasons: list[Exception] = []
        for element in candidates:
            try:
                record = await self._writer.put_flowing(element, self._new_id(), draft, content)
            except NotReached as error:
                reason = error.__cause__ if isinstance(error.__cause__, PASS_ON) else error
                self._pass_over(element, reason)
                reasons.append(reason)
                continue
            except SENDERS_FAULT:
                raise
            except (*PASS_ON, Unavailable, InternalError) as error:
                # The bytes are gone past us: only the sender can give them again.
                self._pass_over(element, error)
                raise Unavailable(
                    "the storage element failed in the middle of the file; send it again",
                    retry_after_s=RETRY_AFTER_S,
                ) from error
            return self._checked(element, record, content.size)
        raise nobody_took_it(reasons, mode_for(draft.retention))

    def _pass_over(self, element: ElementReport, reason: Exception) -> None:
        self._log.warning("element passed over", element=element.element_id, reason=repr(reason))
        # A full one goes on answering, and still takes smaller files.
        if not isinstance(reason, NoRoom):
            self._placement.failed(element)

    def _checked(self, element: ElementReport, record: FileRecord, size: int | None) -> Stored:
        if size is not None and record.size != size:
            raise InternalError
        return Stored(record, element.element_id)

    def _new_id(self) -> FileId:
        return self._ids.new(self._clock.now(), os.urandom(10))


def nobody_took_it(reasons: Iterable[Exception], mode: StorageMode) -> ArtStoreError:
    if all(isinstance(reason, NoRoom) for reason in reasons):
        return NoRoom(f"no storage element in mode {mode} has room for this file")
    return Unavailable(
        f"no storage element in mode {mode} took the file", retry_after_s=RETRY_AFTER_S
    )
