"""Scans files that are stored, where they are: their bytes go to clamd and no further."""

from artstore.core.antivirus import Scanner
from artstore.core.archives import Ends
from artstore.core.errors import ScannerUnavailable
from artstore.core.model.admission import OnUnscanned
from artstore.core.model.file import FileRecord, Scan
from artstore.core.model.ids import FileId
from artstore.core.model.scan import ScannerState
from artstore.core.tracing import current_trace_id
from artstore.storage.engine.engine import Engine
from artstore.storage.services.downloads import Downloads
from artstore.storage.services.threads import Threads


class Scans:
    def __init__(
        self, engine: Engine, downloads: Downloads, writing: Threads, scanner: Scanner | None
    ) -> None:
        self._engine = engine
        self._downloads = downloads
        self._writing = writing
        self._scanner = scanner

    async def state(self) -> ScannerState:
        if self._scanner is None or not await self._scanner.look():
            return ScannerState(engine=None)
        return ScannerState(engine=self._scanner.engine)

    async def scan(self, file_id: FileId, unscanned: OnUnscanned | None) -> FileRecord:
        """The record as it is then. It changes only if the verdict does: that the same was found
        with newer signatures is not worth a revision of every file each day.

        Raises:
            ScannerUnavailable: Try again later.
            UnknownFile, FileDeleted, FileDamaged, Unavailable.
        """
        if self._engine.is_archived and (known := await self._known(file_id)) is not None:
            return known
        if self._scanner is None:
            raise ScannerUnavailable("this storage element has no virus scanner")
        record, scan = await self._look(self._scanner, file_id)
        if scan.is_pending:
            raise ScannerUnavailable(f"the virus scanner does not work: {scan.reason}")
        scan = scan.model_copy(update={"quarantined": _is_to_be_shut(scan, unscanned)})
        if record.scan is not None and _finding(record.scan) == _finding(scan):
            return record
        stored = await self._writing.run(
            self._engine.changes.note_scan, file_id, scan, current_trace_id()
        )
        return stored.record

    async def _known(self, file_id: FileId) -> FileRecord | None:
        """The record of a file that was scanned. New signatures are no reason to read a whole
        archive; what could not be scanned when it came is read once."""
        record = await self._writing.run(self._engine.reading.record, file_id)
        return record if record.scan is not None and not record.scan.is_pending else None

    async def _look(self, scanner: Scanner, file_id: FileId) -> tuple[FileRecord, Scan]:
        record, _, body = await self._downloads.open(file_id, None, from_archive=True)
        if isinstance(body, bytes):
            return record, await scanner.scan(body)
        stream, ends = scanner.begin(), Ends()
        try:
            async for block in body:
                await stream.feed(block)
                ends.feed(block)
            return record, await stream.verdict(ends)
        finally:
            stream.close()


def _is_to_be_shut(scan: Scan, unscanned: OnUnscanned | None) -> bool:
    """What is stored cannot be refused any more, so a rule to refuse means quarantine."""
    if scan.verdict == "unscanned":
        return unscanned in (OnUnscanned.REFUSE, OnUnscanned.QUARANTINE)
    return scan.verdict == "infected"


def _finding(scan: Scan) -> tuple[str, str | None, bool]:
    return scan.verdict, scan.reason, scan.quarantined
