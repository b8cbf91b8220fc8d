"""Stores what `artstore put` was given: many files at a time, one report per file."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from artstore.cli.progress import Meter, Tally, uploads_meter
from artstore.cli.put_report import PutReport
from artstore.cli.trees import Entry, Found, Loaded, Ready, Skipped, next_group, walk
from artstore.client.async_store import AsyncArtStore
from artstore.client.results import StoredFile
from artstore.client.settings import Profile, load_profile
from artstore.client.store import ArtStore
from artstore.client.uploads import Details, printable_name
from artstore.core.errors import (
    ArtStoreError,
    InvalidCredentials,
    InvalidToken,
    NotPermitted,
    Unavailable,
)

UNAVAILABLE_IN_A_ROW_MAX: Final = 32
"""So many files met an absent server: the others would only wait for it too."""

Queue: TypeAlias = "asyncio.Queue[Ready | None]"


def put_paths(paths: Sequence[Path], details: Details, jobs: int, *, as_json: bool) -> bool:
    """Whether every file is stored."""
    profile = load_profile()
    with uploads_meter(lambda: walk(paths)) as meter:
        report = PutReport(meter, as_json=as_json)
        try:
            asyncio.run(_put_all(profile, paths, details, jobs, report))
        finally:
            report.summarise()
    return report.complete


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


async def _put_all(
    profile: Profile, paths: Sequence[Path], details: Details, jobs: int, report: PutReport
) -> None:
    async with AsyncArtStore.from_profile(profile, connections=jobs) as store:
        await store.token()  # wrong credentials are one failure, not one per file
        queue: Queue = asyncio.Queue(maxsize=2 * jobs)
        uploader = Uploader(store, details, report)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_fill(queue, walk(paths), jobs))
                for _ in range(jobs):
                    tasks.create_task(uploader.work(queue))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None


async def _fill(queue: Queue, found: Iterator[Found], jobs: int) -> None:
    while group := await asyncio.to_thread(next_group, found):
        for item in group:
            await queue.put(item)
    for _ in range(jobs):
        await queue.put(None)


class Uploader:
    def __init__(self, store: AsyncArtStore, details: Details, report: PutReport) -> None:
        self._store = store
        self._details = details
        self._report = report
        self._unavailable_in_a_row = 0

    async def work(self, queue: Queue) -> None:
        while (item := await queue.get()) is not None:
            if isinstance(item, Skipped):
                self._report.skipped(item)
            else:
                await self._upload(item)

    async def _upload(self, loaded: Loaded) -> None:
        path = loaded.entry.path
        try:
            stored = await self._put(loaded, self._report.meter)
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
            self._report.stored(path, stored, bytes_reported=loaded.content is None)

    async def _put(self, loaded: Loaded, meter: Meter) -> StoredFile:
        details = _details_of(loaded.entry, self._details)
        in_memory = loaded.content is not None
        return await self._store.put(
            loaded.content if loaded.content is not None else Path(loaded.entry.path),
            filename=details.filename,
            collection=details.collection,
            tags=details.tags,
            metadata=details.metadata,
            retention=details.retention,
            content_type=details.content_type,
            progress=None if in_memory else Tally(meter),
        )


def _details_of(entry: Entry, details: Details) -> Details:
    name = details.filename or printable_name(entry.path.rpartition("/")[2])
    if entry.relative is None:
        return replace(details, filename=name)
    metadata = {**details.metadata, "path": printable_name(entry.relative)}
    return replace(details, filename=name, metadata=metadata)
