"""Stores what `artstore put` was given: many files at a time, one report per file."""

import asyncio
import hashlib
import resource
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from artstore.cli.progress import Tally, uploads_meter
from artstore.cli.put_report import PutReport
from artstore.cli.put_state import Begun, States
from artstore.cli.selection import EVERYTHING, Selection
from artstore.cli.trees import Already, Entry, Found, Loaded, Ready, Skipped, next_group, walk
from artstore.client.async_store import AsyncArtStore
from artstore.client.bodies import FileBody, open_content
from artstore.client.results import StoredFile
from artstore.client.resumable import Resume
from artstore.client.settings import load_profile
from artstore.client.store import ArtStore
from artstore.client.uploads import Details, printable_name
from artstore.core.errors import (
    ArtStoreError,
    IdempotencyKeyReused,
    InvalidCredentials,
    InvalidToken,
    NotPermitted,
    Unavailable,
)
from artstore.core.model.file import DEFAULT_COLLECTION

UNAVAILABLE_IN_A_ROW_MAX: Final = 32
"""So many files met an absent server: the others would only wait for it too."""

Queue: TypeAlias = "asyncio.Queue[tuple[Ready, Begun | None] | None]"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a tree is stored."""

    paths: Sequence[Path]
    details: Details
    jobs: int
    selection: Selection = EVERYTHING
    dry_run: bool = False
    again: bool = False
    """Forget what earlier runs stored."""
    by_checksum: bool = False
    """Ask the archive what it has, by content, instead of what earlier runs noted."""

    def walk(self) -> Iterator[Found]:
        return walk(self.paths, self.selection)


def put_paths(wanted: Wanted, *, as_json: bool) -> bool:
    """Whether every file is stored."""
    profile = load_profile()
    _allow_files(len(wanted.paths))
    states = States(profile, wanted.details, afresh=wanted.again, read_only=wanted.dry_run)
    with uploads_meter(wanted.walk) as meter:
        report = PutReport(meter, as_json=as_json, dry_run=wanted.dry_run)
        try:
            store = AsyncArtStore.from_profile(profile, connections=wanted.jobs)
            asyncio.run(_put_all(store, wanted, states, report))
        finally:
            report.summarise()
            states.close()
    return report.complete


def _allow_files(trees: int) -> None:
    """Each tree has a file that remembers, open to the end."""
    allowed, allowed_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    if trees > allowed // 4:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed_max, allowed_max))


def put_stdin(details: Details, *, as_json: bool) -> bool:
    # Blocking: an interrupt must end a read that waits for the program in front of the pipe.
    with uploads_meter(lambda: iter(())) as meter, ArtStore.from_home() as store:
        report = PutReport(meter, as_json=as_json)
        stored = store.put(
            sys.stdin.buffer,
            filename=details.filename,
            collection=details.collection,
            tags=details.tags,
            metadata=details.metadata,
            retention=details.retention,
            content_type=details.content_type,
            progress=Tally(meter),
        )
        report.stored("-", stored, bytes_reported=True)
    return True


async def _put_all(store: AsyncArtStore, wanted: Wanted, states: States, report: PutReport) -> None:
    async with store:
        if not wanted.dry_run or wanted.by_checksum:
            await store.token()  # wrong credentials are one failure, not one per file
        queue: Queue = asyncio.Queue(maxsize=2 * wanted.jobs)
        uploader = Uploader(store, wanted, states, report)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_fill(queue, uploader, wanted))
                for _ in range(wanted.jobs):
                    tasks.create_task(uploader.work(queue))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None


async def _fill(queue: Queue, uploader: "Uploader", wanted: Wanted) -> None:
    found = wanted.walk()
    while group := await asyncio.to_thread(uploader.begin_group, found):
        for item in group:
            await queue.put(item)
    for _ in range(wanted.jobs):
        await queue.put(None)


class _KeptResume(Resume):
    """A large file goes on in the next run."""

    def __init__(self, states: States, entry: Entry, begun: Begun) -> None:
        super().__init__(begun.upload_url)
        self._states = states
        self._entry = entry
        self._key = begun.key

    def begun(self, url: str) -> None:
        super().begun(url)
        self._states.in_parts(self._entry, self._key, url)


class Uploader:
    def __init__(
        self, store: AsyncArtStore, wanted: Wanted, states: States, report: PutReport
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._states = states
        self._report = report
        self._unavailable_in_a_row = 0

    def begin_group(self, found: Iterator[Found]) -> list[tuple[Ready, Begun | None]]:
        """The next files with the keys they are sent with, which are on disk then. Blocking."""
        known = (lambda _: None) if self._wanted.by_checksum else self._states.stored_id
        group = next_group(found, known)
        if self._wanted.dry_run:
            return [(item, None) for item in group]
        begun = [(item, self._begin(item)) for item in group]
        self._states.flush()
        return begun

    def _begin(self, item: Ready) -> Begun | None:
        if not isinstance(item, Loaded):
            return None
        now = self._store.server_time()
        return self._states.begin(item.entry, now, self._store.new_idempotency_key)

    async def work(self, queue: Queue) -> None:
        while (work := await queue.get()) is not None:
            item, begun = work
            match item:
                case Skipped():
                    self._report.skipped(item)
                case Already():
                    self._report.already(item.entry, item.file_id)
                case Loaded():
                    await self._handle(item, begun)

    async def _handle(self, loaded: Loaded, begun: Begun | None) -> None:
        path = loaded.entry.path
        try:
            await self._store_one(loaded, begun)
        except (InvalidCredentials, InvalidToken, NotPermitted):
            raise  # the same for every file
        except Unavailable as failure:
            self._unavailable_in_a_row += 1
            if self._unavailable_in_a_row >= UNAVAILABLE_IN_A_ROW_MAX:
                raise
            self._report.failed(path, failure)
        except (ArtStoreError, OSError) as failure:
            self._report.failed(path, failure)
        else:
            self._unavailable_in_a_row = 0

    async def _store_one(self, loaded: Loaded, begun: Begun | None) -> None:
        entry = loaded.entry
        if begun is None and not self._wanted.by_checksum:
            self._report.would_store(entry)
            return
        content = await _content(loaded)
        if self._wanted.by_checksum or (begun is not None and begun.may_be_stored):
            file_id = await self._found(entry, content)
            if file_id is not None:
                if begun is not None:
                    self._states.stored(entry, file_id)
                self._report.already(entry, file_id)
                return
        if begun is None:
            self._report.would_store(entry)
            return
        if begun.may_be_stored:
            self._states.begin_anew(entry, begun.key)
        if loaded.is_sparse:
            self._report.sparse(entry)
        stored = await self._put(entry, content, begun)
        self._states.stored(entry, stored.file_id)
        self._report.stored(entry.path, stored, bytes_reported=not isinstance(content, bytes))

    async def _found(self, entry: Entry, content: bytes | FileBody) -> str | None:
        """The id of a file in the same collection with this content."""
        sha256 = hashlib.sha256(content).digest() if isinstance(content, bytes) else content.sha256
        collection = self._wanted.details.collection or DEFAULT_COLLECTION
        async for record in self._store.search(collection=collection, sha256=sha256.hex()):
            if record.size == entry.size_bytes:
                return record.file_id
        return None

    async def _put(self, entry: Entry, content: bytes | FileBody, begun: Begun) -> StoredFile:
        try:
            return await self._put_with(entry, content, begun)
        except IdempotencyKeyReused:
            # What an earlier run sent with it is not there any more, or was another content.
            begun = self._states.begin_anew(entry, self._store.new_idempotency_key())
            return await self._put_with(entry, content, begun)

    async def _put_with(self, entry: Entry, content: bytes | FileBody, begun: Begun) -> StoredFile:
        details = _details_of(entry, self._wanted.details)
        return await self._store.put(
            content,
            filename=details.filename,
            collection=details.collection,
            tags=details.tags,
            metadata=details.metadata,
            retention=details.retention,
            content_type=details.content_type,
            progress=None if isinstance(content, bytes) else Tally(self._report.meter),
            idempotency_key=begun.key,
            resume=_KeptResume(self._states, entry, begun),
        )


async def _content(loaded: Loaded) -> bytes | FileBody:
    if loaded.content is not None:
        return loaded.content
    content = await asyncio.to_thread(open_content, loaded.source())
    assert isinstance(content, bytes | FileBody)
    return content


def _details_of(entry: Entry, details: Details) -> Details:
    name = details.filename or printable_name(entry.path.rpartition("/")[2])
    if entry.relative is None:
        return replace(details, filename=name)
    metadata = {**details.metadata, "path": printable_name(entry.relative)}
    return replace(details, filename=name, metadata=metadata)
