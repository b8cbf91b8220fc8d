"""What becomes of a finding that is beyond doubt: told, counted, remembered, closed."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from artstore.core.clock import Clock
from artstore.core.errors import NoRoom, Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import SCRUB_FINDINGS, SCRUB_OPEN_FINDINGS
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.scrub.aside import Aside
from artstore.storage.engine.scrub.findings import Finding
from artstore.storage.engine.scrub.ledger import Ledger, OpenFinding

Report = Callable[[Mapping[str, object]], int]
"""Write a finding into the log; its sequence. Raises `NoRoom`, `Unavailable`."""


class Docket:
    def __init__(self, ledger: Ledger, clock: Clock, report: Report, aside: Aside) -> None:
        self._ledger = ledger
        self._clock = clock
        self._report = report
        self._aside = aside
        self._open: Counter[FindingKind] = Counter()

    def load(self) -> None:
        for known in self._ledger.all():
            self._open[known.finding] += 1
        for kind in FindingKind:
            if kind.is_defect:
                SCRUB_OPEN_FINDINGS.labels(kind.value).set(self._open[kind])

    @property
    def open_count(self) -> int:
        return self._open.total()

    def record(self, finding: Finding) -> bool:
        """Hold the file's claim meanwhile. True if it is new.

        Told first: if the process dies on the way, it is found and told again.
        """
        known = self._ledger.find(finding)
        now = self._clock.now()
        if known is not None and _is_same(known, finding):
            seq = known.seq if known.seq is not None else self._tell(known.as_finding)
            self._ledger.write(known.model_copy(update={"seq": seq, "seen_at": now}))
            return False
        get_logger().error("the scrub found something", **finding.detail())
        SCRUB_FINDINGS.labels(finding.kind.value).inc()
        seq = self._tell(finding)
        set_aside = None
        if finding.kind is FindingKind.DAMAGED and finding.file_id is not None:
            set_aside = self._aside.move(finding.file_id, finding.path)
        self._ledger.write(_opened(finding, now, seq, set_aside))
        if known is not None:
            self._count(known.finding, -1)
        self._count(finding.kind, 1)
        return True

    def repaired(self, file_id: FileId, path: str, cause: str) -> None:
        """The file is whole, whether anybody had noticed that it was not. As `close`."""
        known = self._ledger.of_file(file_id)
        if known is not None:
            self.close(known, FindingKind.REPAIRED, cause)
        else:
            self._tell(Finding(FindingKind.REPAIRED, file_id, path, cause))

    def close(self, known: OpenFinding, kind: FindingKind, cause: str) -> None:
        """Hold the file's claim meanwhile."""
        finding = Finding(kind, known.file_id, known.path, cause)
        get_logger().info("a finding of the scrub is closed", **finding.detail())
        SCRUB_FINDINGS.labels(kind.value).inc()
        self._tell(finding)
        self._ledger.close(known)
        self._count(known.finding, -1)

    def close_deleted(self, file_id: FileId) -> None:
        """The file has a tombstone: nothing of its bytes may stay."""
        had_bytes = self._aside.forget(file_id)
        known = self._ledger.of_file(file_id)
        cause = "the file was deleted"
        if known is not None:
            self.close(known, FindingKind.QUARANTINE_CLEARED, cause)
        elif had_bytes:
            self._tell(Finding(FindingKind.QUARANTINE_CLEARED, file_id, "", cause))

    def _tell(self, finding: Finding) -> int | None:
        try:
            return self._report(finding.detail())
        except (NoRoom, Unavailable) as error:
            get_logger().warning("a finding is not in the log yet", cause=str(error))
            return None

    def _count(self, kind: FindingKind, change: int) -> None:
        self._open[kind] += change
        SCRUB_OPEN_FINDINGS.labels(kind.value).set(self._open[kind])


def _is_same(known: OpenFinding, finding: Finding) -> bool:
    """What was moved to the quarantine is missing since."""
    moved = known.set_aside is not None and finding.kind is FindingKind.MISSING_CONTENT
    return moved or known.finding is finding.kind


def _opened(finding: Finding, now: datetime, seq: int | None, set_aside: str | None) -> OpenFinding:
    return OpenFinding(
        finding=finding.kind,
        file_id=finding.file_id,
        path=finding.path,
        cause=finding.cause,
        found_at=now,
        seen_at=now,
        seq=seq,
        set_aside=set_aside,
    )
