"""Has stored files scanned again for viruses: those that could not be scanned when they came,
and all of them when there are new signatures. The elements do it; the bytes stay with them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from artstore.admin.repository import elements, scans
from artstore.admin.repository.scans import StoredFile
from artstore.admin.services.elements_control import ElementControl
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, ScannerUnavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import RESCANNED
from artstore.core.model.ids import FileId
from artstore.core.model.scan import ScanOrder

RESCAN = "scans.files"
"""Kind of the one job; its key is empty."""
PAGE_FILES: Final = 50

Save = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Keeps the progress, and raises when the walk is to stop."""


class Rescanning:
    def __init__(self, database: Database, control: ElementControl) -> None:
        self._database = database
        self._control = control

    async def run(self, progress: Mapping[str, Any], save: Save) -> None:
        """One pass: what is pending, then all files if the signatures are not those of the last
        whole walk. A walk that was interrupted goes on, with the signatures there are now."""
        engine = await self._engine()
        if engine is None:
            return
        await self._work_off()
        done_with = progress.get("engine")
        if done_with == engine:
            return
        after, files = UUID(progress.get("after") or str(scans.FIRST)), progress.get("files", 0)
        while True:
            async with self._database.session() as session:
                page = await scans.scanned(session, after, PAGE_FILES)
            if not page:
                break
            if not await self._scan(page):
                return
            after, files = page[-1].file_id, files + len(page)
            await save({"engine": done_with, "after": str(after), "files": files})
        await save({"engine": engine, "after": None, "files": files})

    async def _engine(self) -> str | None:
        """Of the first element that has a scanner which answers."""
        async with self._database.session() as session:
            known = await elements.every(session)
        for element in known:
            try:
                state = await self._control.scanner(element.url)
            except ArtStoreError:
                continue
            if state.engine is not None:
                return state.engine
        return None

    async def _work_off(self) -> None:
        after = scans.FIRST
        while True:
            async with self._database.session() as session:
                page = await scans.pending(session, after, PAGE_FILES)
            if not page or not await self._scan(page):
                return
            after = page[-1].file_id

    async def _scan(self, page: Sequence[StoredFile]) -> bool:
        """One after the other: uploads come first. False: the scanner is away, stop."""
        for file in page:
            order = ScanOrder(unscanned=file.unscanned)
            try:
                record = await self._control.scan(file.url, FileId(str(file.file_id)), order)
            except ScannerUnavailable:
                return False
            except ArtStoreError as error:
                # The next walk finds it again.
                RESCANNED.labels("failed").inc()
                get_logger().warning("not scanned", file_id=str(file.file_id), code=error.code)
                continue
            verdict = record.scan.verdict if record.scan else "unscanned"
            RESCANNED.labels(verdict).inc()
            if verdict == "infected":
                get_logger().error("stored file is infected", file_id=record.file_id)
        return True
