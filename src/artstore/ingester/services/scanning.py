"""Scans for viruses as a collection's rules ask for it."""

from typing import Final

from artstore.core.antivirus import UNKNOWN_ENGINE, Scanner, ScanStream
from artstore.core.archives import Ends
from artstore.core.clock import Clock
from artstore.core.errors import FileInfected, NotScannable, ScannerUnavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import SCANS
from artstore.core.model.admission import Admission, OnUnscanned
from artstore.core.model.file import Scan

RETRY_AFTER_S: Final = 15


class Scanning:
    def __init__(self, scanner: Scanner | None, clock: Clock) -> None:
        """`scanner`: `None` where none is set up."""
        self._scanner = scanner
        self._clock = clock

    def is_wanted(self, rules: Admission) -> bool:
        return self._scanner is not None or rules.unscanned is not None

    async def scan(self, content: bytes, rules: Admission) -> Scan:
        """Of a content that is here as a whole. Raises as `admitted`."""
        if self._scanner is None:
            return self._admitted(self._not_set_up(), rules)
        return self._admitted(await self._scanner.scan(content), rules)

    def begin(self) -> ScanStream | None:
        return self._scanner.begin() if self._scanner is not None else None

    async def verdict(self, stream: ScanStream | None, ends: Ends, rules: Admission) -> Scan | None:
        """Of a content that was fed to `stream`. Raises as `admitted`."""
        if stream is None:
            return self._admitted(self._not_set_up(), rules) if self.is_wanted(rules) else None
        return self._admitted(await stream.verdict(ends), rules)

    def _not_set_up(self) -> Scan:
        SCANS.labels("unscanned", "no_scanner").inc()
        now = self._clock.now()
        return Scan(engine=UNKNOWN_ENGINE, verdict="unscanned", at=now, reason="no_scanner")

    def _admitted(self, scan: Scan, rules: Admission) -> Scan:
        if scan.verdict == "infected":
            get_logger().warning("upload is infected", finding=scan.reason)
        return admitted(scan, rules)


def admitted(scan: Scan, rules: Admission) -> Scan:
    """The scan as it goes into the record.

    Raises:
        FileInfected: Always: no rule takes that.
        ScannerUnavailable, NotScannable: It was not scanned, and must be.
    """
    if scan.verdict == "infected":
        raise FileInfected(f"the virus scanner found {scan.reason}", finding=scan.reason)
    if scan.verdict == "clean" or rules.unscanned in (None, OnUnscanned.ACCEPT_MARKED):
        return scan
    if rules.unscanned is OnUnscanned.QUARANTINE:
        return scan.model_copy(update={"quarantined": True})
    if scan.is_pending:
        raise ScannerUnavailable(
            "this collection takes only scanned files, and the scanner is not available",
            retry_after_s=RETRY_AFTER_S,
            reason=scan.reason,
        )
    raise NotScannable(
        f"this collection takes only scanned files, and this one cannot be: {scan.reason}",
        reason=scan.reason,
    )
