"""Uploads that come in parts, over any number of requests and ingesters.

The element that will hold the file holds its parts too, and knows what came. The name of an
upload says which one that is, so nothing is kept here and no database is asked.
"""

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from starlette.requests import ClientDisconnect

from artstore.core.archives import HEAD_BYTES, TAIL_BYTES
from artstore.core.clock import Clock
from artstore.core.errors import (
    ArtStoreError,
    BodyStalled,
    FileInfected,
    NotScannable,
    OffsetConflict,
    TypeMismatch,
    TypeNotAllowed,
    Unavailable,
    UnknownUpload,
)
from artstore.core.logging import note
from artstore.core.model.account import Caller, Right
from artstore.core.model.completion import Completion
from artstore.core.model.file import FileDraft
from artstore.core.model.ids import ElementId, FileId, FileIdSource, is_file_id
from artstore.core.model.open_upload import NewOpenUpload, OpenUploadState
from artstore.ingester.services.flow import NotReached
from artstore.ingester.services.inspection import Inspector
from artstore.ingester.services.intake import PASS_ON, nobody_took_it
from artstore.ingester.services.open_uploads import OpenUploadCalls, UploadPart
from artstore.ingester.services.placement import (
    RETRY_AFTER_S,
    ElementReport,
    Placement,
    mode_for,
)
from artstore.ingester.services.rules import CachedRules

FORBIDDEN: Final = (TypeMismatch, TypeNotAllowed, FileInfected, NotScannable)
_UPLOAD_ID: Final = re.compile(r"(.{36})\.([a-z0-9][a-z0-9-]{0,62})")


class Directory(Protocol):
    def reports(self) -> Sequence[ElementReport]: ...


class UploadName(NamedTuple):
    file_id: FileId
    element_id: ElementId

    def __str__(self) -> str:
        return f"{self.file_id}.{self.element_id}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is, and where."""

    name: UploadName
    element: ElementReport
    state: OpenUploadState

    @property
    def is_to_be_stored(self) -> bool:
        """All bytes are there, and no file yet."""
        return self.state.is_whole and self.state.record is None


class Resumable:
    def __init__(
        self,
        placement: Placement,
        directory: Directory,
        calls: OpenUploadCalls,
        clock: Clock,
        *,
        lifetime_s: float,
        rules: CachedRules,
        inspector: Inspector,
    ) -> None:
        """Args: `lifetime_s`: how long an upload waits for its next part."""
        self._rules = rules
        self._inspector = inspector
        self._placement = placement
        self._directory = directory
        self._calls = calls
        self._clock = clock
        self._lifetime = timedelta(seconds=lifetime_s)
        self._ids = FileIdSource()

    async def create(self, draft: FileDraft, size: int) -> Progress:
        """Raises:
        NoRoom: No element has room for it.
        Unavailable: No element took it; trying again may help.
        QuotaExceeded: The collection or the account is full.
        """
        draft = draft.model_copy(update={"size": size})
        with self._rules.room_for(draft.collection, draft.uploaded_by.subject, size):
            return await self._create(draft, size)

    async def _create(self, draft: FileDraft, size: int) -> Progress:
        mode = mode_for(draft.retention)
        reasons: list[Exception] = []
        for element in self._placement.candidates(size, mode):
            name = UploadName(self._ids.new(self._clock.now(), os.urandom(10)), element.element_id)
            new = NewOpenUpload(size=size, expires_at=self._expiry(), draft=draft)
            try:
                await self._calls.create(element, name.file_id, new)
            except (*PASS_ON, Unavailable) as error:
                # Should it be there after all, it expires: nobody knows its name.
                self._placement.pass_over(element, error)
                reasons.append(error)
                continue
            self._placement.worked(element)
            note(file_id=name.file_id, element=name.element_id, size=size)
            state = OpenUploadState(**new.model_dump(), file_id=name.file_id, offset=0)
            return Progress(name, element, state)
        raise nobody_took_it(reasons, mode)

    @asynccontextmanager
    async def given_up_with(self, progress: Progress) -> AsyncIterator[None]:
        """Around what follows its creation in the same request: if that fails, nobody learns the
        name of the upload, and it would keep its room for its whole life."""
        try:
            yield
        except Exception:
            with suppress(ArtStoreError):
                await self._calls.remove(progress.element, progress.name.file_id)
            raise

    async def progress(self, upload_id: str, caller: Caller) -> Progress:
        """Raises `UnknownUpload`, `NotPermitted`, `Unavailable`."""
        name = parse_upload_id(upload_id)
        element = self._element(name.element_id)
        state = await self._calls.state(element, name.file_id)
        if state.draft.uploaded_by.subject != caller.subject:
            raise UnknownUpload
        caller.check(Right.WRITE, state.draft.collection, self._clock.now())
        note(file_id=name.file_id, element=name.element_id)
        return Progress(name, element, state)

    async def append(self, progress: Progress, part: UploadPart) -> Progress:
        """Durable on return, and also when the sender's failure is raised: what came before it
        counts, unless a checksum cannot be looked at any more.

        Raises:
            OffsetConflict, UploadBusy, UnknownUpload: Nothing was taken.
            SizeMismatch, ChecksumMismatch, NoRoom, Unavailable: Ask for the offset.
        """
        if progress.state.record is not None:
            if part.offset != progress.state.offset:
                offset = progress.state.offset
                raise OffsetConflict(f"the upload ended at {offset}", offset=offset)
            return progress
        coming = _Coming(part.chunks)
        if part.checksum is None:
            part = part._replace(chunks=coming.until_broken())
        file_id, expires_at = progress.name.file_id, self._expiry()
        try:
            state = await self._calls.append(progress.element, file_id, part, expires_at)
        except NotReached as error:
            if isinstance(error.__cause__, ArtStoreError):
                raise error.__cause__ from error
            raise Unavailable(
                "the storage element does not answer", retry_after_s=RETRY_AFTER_S
            ) from error
        if coming.failure is not None:
            raise coming.failure
        return replace(progress, state=state)

    async def store(self, progress: Progress) -> Progress:
        """Make a file of an upload that is whole. Again is the same as once.

        Raises:
            DigestMismatch: It is not what was announced. Nothing is kept.
            TypeMismatch, TypeNotAllowed, FileInfected, NotScannable: A rule of its collection
                forbids it. Nothing is kept.
            QuotaExceeded: Others took the room since it began. It waits for its end: more may
                be granted, or something deleted.
            ModeForbids, ScannerUnavailable, Unavailable: Try again.
        """
        draft, size = progress.state.draft, progress.state.size
        with self._rules.room_for(draft.collection, draft.uploaded_by.subject, size) as room:
            completion = await self._inspect(progress)
            record = await self._calls.complete(progress.element, progress.name.file_id, completion)
            room.taken_bytes = record.size
        state = progress.state.model_copy(update={"record": record})
        return replace(progress, state=state)

    async def _inspect(self, progress: Progress) -> Completion:
        """What its bytes say, read back from the element: they came in parts, to anybody."""
        draft, size = progress.state.draft, progress.state.size
        rules = self._rules.of(draft.collection)
        inspection = self._inspector.begin(draft, rules)
        element, file_id = progress.element, progress.name.file_id
        try:
            if self._inspector.reads_all(rules):
                async for chunk in self._calls.content(element, file_id):
                    await inspection.feed(chunk)
            else:
                ends = (0, HEAD_BYTES), (max(HEAD_BYTES, size - TAIL_BYTES), size)
                for start, stop in ends:
                    async for chunk in self._calls.content(element, file_id, start, stop):
                        inspection.glance_at(chunk)
            return await inspection.complete()
        except FORBIDDEN:
            await self._calls.remove(element, file_id)
            raise
        finally:
            inspection.close()

    async def remove(self, upload_id: str, caller: Caller) -> None:
        """Raises `UnknownUpload`, also of one that is a file already; `UploadBusy`."""
        progress = await self.progress(upload_id, caller)
        await self._calls.remove(progress.element, progress.name.file_id)

    def _element(self, element_id: ElementId) -> ElementReport:
        for report in self._directory.reports():
            if report.element_id == element_id:
                return report
        raise UnknownUpload

    def _expiry(self) -> datetime:
        return self._clock.now() + self._lifetime


class _Coming:
    """Bytes that end where the sender breaks off, as if that had been meant."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.failure: ClientDisconnect | BodyStalled | None = None

    async def until_broken(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except (ClientDisconnect, BodyStalled) as failure:
            self.failure = failure


def parse_upload_id(text: str) -> UploadName:
    """Raises `UnknownUpload`."""
    match = _UPLOAD_ID.fullmatch(text)
    if match is None or not is_file_id(match[1]):
        raise UnknownUpload
    return UploadName(FileId(match[1]), match[2])
