"""Imports many files, each with the proof that what is stored is what the source had."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from artstore.cli.import_journal import Journal, Version
from artstore.cli.output import error_fields, error_text, print_json, print_line, say, size_text
from artstore.client.async_store import AsyncArtStore
from artstore.client.bodies import FileBody
from artstore.client.results import StoredFile
from artstore.client.resumable import Resume
from artstore.client.uploads import Details
from artstore.core.errors import (
    ArtStoreError,
    DigestMismatch,
    IdempotencyKeyReused,
    InvalidCredentials,
    InvalidToken,
    Unavailable,
)
from artstore.core.model.file import DEFAULT_COLLECTION

READ_BYTES: Final = 1 << 20
SAME_FOR_ALL: Final = (InvalidCredentials, InvalidToken)
UNAVAILABLE_IN_A_ROW_MAX: Final = 32
"""So many files met an absent server: the others would only wait for it too."""


Opened: TypeAlias = bytes | FileBody | BinaryIO


def _no_more(_: Opened) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the source."""

    source: str
    """Its name there."""
    version: Version
    details: Details
    open: Callable[[], Opened]
    """Blocking: reads it, or hashes it if it is large."""
    evidence: Callable[[Opened], dict[str, Any]] = _no_more
    """Of what was sent: what the source itself says of it, compared; goes into the report."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What cannot be imported as it is."""

    source: str
    reason: str


@dataclass
class Counts:
    imported: int = 0
    imported_bytes: int = 0
    already: int = 0
    failed: int = 0


class Import:
    def __init__(
        self, store: AsyncArtStore, journal: Journal | None, *, dry_run: bool, as_json: bool
    ) -> None:
        """Args: `journal`: `None` for a dry run without an earlier one."""
        self._store = store
        self._journal = journal
        self._dry_run = dry_run
        self._as_json = as_json
        self._unavailable_in_a_row = 0
        self.counts = Counts()

    async def work(self, items: "asyncio.Queue[Item | Refused | None]") -> None:
        while (item := await items.get()) is not None:
            if isinstance(item, Refused):
                self._failed(item.source, {"code": "unreadable", "detail": item.reason}, None)
                continue
            try:
                await self._handle(item)
            except SAME_FOR_ALL:
                raise
            except (ArtStoreError, OSError) as failure:
                is_away = isinstance(failure, Unavailable)
                self._unavailable_in_a_row += is_away
                if is_away and self._unavailable_in_a_row >= UNAVAILABLE_IN_A_ROW_MAX:
                    raise
                self._failed(item.source, error_fields(failure), item.version, error_text(failure))
            else:
                self._unavailable_in_a_row = 0

    async def _handle(self, item: Item) -> None:
        if self._journal is not None and self._journal.imported_id(item.source, item.version):
            self.counts.already += 1
            return
        if self._dry_run or self._journal is None:
            self.counts.imported += 1
            self.counts.imported_bytes += item.version.size
            self._tell({"source": item.source, "size": item.version.size, "would_import": True})
            return
        content = await asyncio.to_thread(item.open)
        begun = await asyncio.to_thread(
            self._journal.begin,
            item.source,
            item.version,
            self._store.new_idempotency_key(),
            self._store.server_time(),
        )
        stored = await self._found(item, content) if begun.get("ask") else None
        if stored is None:
            stored = await self._put(self._journal, item, content, begun)
        self._proven(self._journal, item, content, stored)

    async def _put(
        self, journal: Journal, item: Item, content: Opened, begun: dict[str, Any]
    ) -> StoredFile:
        try:
            return await self._put_with(journal, item, content, begun)
        except IdempotencyKeyReused:
            # The list says something else of it now, or it was deleted since.
            key = self._store.new_idempotency_key()
            begun = journal.note(item.source, item.version, status="begun", key=key)
            return await self._put_with(journal, item, content, begun)

    async def _put_with(
        self, journal: Journal, item: Item, content: Opened, begun: dict[str, Any]
    ) -> StoredFile:
        details = item.details
        return await self._store.put(
            content,
            filename=details.filename,
            collection=details.collection,
            tags=details.tags,
            metadata=details.metadata,
            retention=details.retention,
            idempotency_key=begun["key"],
            resume=_KeptResume(journal, item, begun),
        )

    async def _found(self, item: Item, content: Opened) -> StoredFile | None:
        details = item.details
        sha256 = await asyncio.to_thread(_sha256, content)
        collection = details.collection or DEFAULT_COLLECTION
        async for record in self._store.search(collection=collection, sha256=sha256):
            same_name = record.original_filename == details.filename
            if same_name and record.metadata == dict(details.metadata):
                return StoredFile(
                    file_id=record.file_id,
                    size=record.size,
                    sha256=record.sha256,
                    location=f"/api/v1/files/{record.file_id}",
                    collection=record.collection,
                    original_filename=record.original_filename,
                    content_type=record.content_type,
                    uploaded_at=record.uploaded_at,
                )
        return None

    def _proven(self, journal: Journal, item: Item, content: Opened, stored: StoredFile) -> None:
        sha256 = _sha256(content)
        equal = (stored.sha256, stored.size) == (sha256, item.version.size)
        proof = {
            "file_id": stored.file_id,
            "source_sha256": sha256,
            "stored_sha256": stored.sha256,
            "equal": equal,
            **item.evidence(content),
        }
        if not equal:
            text = "what is stored is not what the source had"
            raise DigestMismatch(text, file_id=stored.file_id)
        more = {"stored_at": stored.uploaded_at.isoformat(), "receipt": stored.receipt}
        line = journal.note(item.source, item.version, status="imported", **proof, **more)
        self.counts.imported += 1
        self.counts.imported_bytes += stored.size
        self._tell(line)

    def _failed(
        self, source: str, error: dict[str, Any], version: Version | None, text: str | None = None
    ) -> None:
        self.counts.failed += 1
        line = {"source": source, "status": "failed", "error": error}
        if self._journal is not None and not self._dry_run:
            self._keep_failure(self._journal, source, error, version)
        if self._as_json:
            print_json(line)
        else:
            say(f"failed: {source}: {text or error['detail']}")

    def _keep_failure(
        self, journal: Journal, source: str, error: dict[str, Any], version: Version | None
    ) -> None:
        version = version or Version(0, "")
        # The key stays: what failed may have been stored all the same.
        kept = {
            name: value
            for name, value in journal.last(source, version).items()
            if name in ("key", "upload_url")
        }
        journal.note(source, version, status="failed", error=error, **kept)

    def _tell(self, line: dict[str, Any]) -> None:
        if self._as_json:
            print_json(line)
        elif "file_id" in line:
            print_line(f"{line['file_id']}  {line['source']}")
        else:
            print_line(f"{size_text(line['size']):>10}  {line['source']}")


class _KeptResume(Resume):
    def __init__(self, journal: Journal, item: Item, begun: dict[str, Any]) -> None:
        super().__init__(begun.get("upload_url"))
        self._journal = journal
        self._item = item
        self._key = begun["key"]

    def begun(self, url: str) -> None:
        super().begun(url)
        item = self._item
        more = {"status": "begun", "key": self._key, "upload_url": url}
        self._journal.note(item.source, item.version, **more)


def _sha256(content: Opened) -> str:
    """Of what was read of it; a stream that was not sent yet is read."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    if isinstance(content, FileBody):
        return content.sha256.hex()
    while content.read(READ_BYTES):
        pass
    sha256: str = content.sha256  # type: ignore[attr-defined]
    return sha256


def run_import(
    items: Iterator[Item | Refused], report: Path, jobs: int, *, dry_run: bool, as_json: bool
) -> bool:
    """Whether everything is imported, now or before."""
    journal = None if dry_run and not (report / "report.jsonl").exists() else Journal(report)
    store = AsyncArtStore.from_home(connections=jobs)
    running = Import(store, journal, dry_run=dry_run, as_json=as_json)
    try:
        asyncio.run(_run(store, running, items, jobs, dry_run=dry_run))
    finally:
        if journal is not None:
            if not dry_run:
                journal.summarise()
            journal.close()
        _conclude(running.counts, report, dry_run=dry_run)
    return running.counts.failed == 0


async def _run(
    store: AsyncArtStore,
    running: Import,
    items: Iterator[Item | Refused],
    jobs: int,
    *,
    dry_run: bool,
) -> None:
    queue: asyncio.Queue[Item | Refused | None] = asyncio.Queue(maxsize=2 * jobs)

    async def fill() -> None:
        while (item := await asyncio.to_thread(next, items, None)) is not None:
            await queue.put(item)
        for _ in range(jobs):
            await queue.put(None)

    async with store:
        if not dry_run:
            await store.token()  # wrong credentials are one failure, not one per file
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fill())
                for _ in range(jobs):
                    tasks.create_task(running.work(queue))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None


def _conclude(counts: Counts, report: Path, *, dry_run: bool) -> None:
    amount = f"{counts.imported} files, {size_text(counts.imported_bytes)}"
    done = f"would import {amount}" if dry_run else f"imported {amount}, each compared by sha256"
    parts = [done, f"{counts.already} imported before", f"{counts.failed} failed"]
    say("; ".join(parts))
    if not dry_run:
        say(f"report: {report / 'report.jsonl'} and {report / 'summary.csv'}")
