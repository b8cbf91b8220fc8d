"""One pass over everything, from wherever the last one was interrupted."""

from collections.abc import Callable
from typing import Final, NamedTuple

from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import SCRUB_FILES
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine import sidecar
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub.aside import Aside
from artstore.storage.engine.scrub.docket import Docket
from artstore.storage.engine.scrub.element_check import foreign_element, read_element
from artstore.storage.engine.scrub.findings import Finding, Known
from artstore.storage.engine.scrub.inspection import Inspection
from artstore.storage.engine.scrub.ledger import Ledger, OpenFinding
from artstore.storage.engine.scrub.log_check import Ended, LogCheck
from artstore.storage.engine.scrub.progress import Progress
from artstore.storage.engine.scrub.shelf import Shelf
from artstore.storage.engine.scrub.walk import Group

FILE_COST_BYTES: Final = 32 << 10
"""What looking at a file costs beside its bytes, as bytes of the rate: names, seeks and the
interpreter, which uploads need too. At 20 MB/s that is 600 small files a second at most."""

KNOWN_COST_BYTES: Final = 4 << 10
"""The same for a line of the log."""

TRIES: Final = 3
"""So often a file may change while it is looked at, until it is left to the next pass."""


class Element(NamedTuple):
    """What a pass needs of the running element."""

    fs: Fs
    layout: Layout
    shelf: Shelf
    claims: Claims
    file: Callable[[], ElementFile]
    head: Callable[[], int]
    """The last change that is in its place."""
    check: Callable[[], None]
    """Raises `Unavailable` or `NoRoom` after a fault: then nobody knows what ought to be in
    its place."""
    content_expected: Callable[[], bool]
    """False when the bytes may lie in an archive."""


class Round:
    """Args:
    spend: Waits for so many bytes of the rate; raises when the pass has to end.
    count_bytes: Told what was read.
    repairs: How many repairs there were; a file may become whole without a new record.
    """

    def __init__(
        self,
        *,
        element: Element,
        docket: Docket,
        ledger: Ledger,
        aside: Aside,
        progress: Progress,
        spend: Callable[[int], None],
        count_bytes: Callable[[int], None],
        repairs: Callable[[], int],
    ) -> None:
        self._element = element
        self._docket = docket
        self._ledger = ledger
        self._aside = aside
        self._progress = progress
        self._spend = spend
        self._count_bytes = count_bytes
        self._repairs = repairs
        self._inspection = Inspection(
            element.shelf,
            element.layout,
            self._read,
            content_expected=element.content_expected(),
        )

    def run(self) -> None:
        if not self._progress.is_log_done:
            self._look_at_element()
            self._look_at_log()
            self._progress.is_log_done = True
        self._look_at_files()
        self._look_at_quarantine()
        self._look_at_open()

    # --- element and log --------------------------------------------------------------

    def _look_at_element(self) -> None:
        element = self._element
        found = read_element(element.fs, element.layout)
        if isinstance(found, ElementFile):
            foreign = foreign_element(element.layout, found, element.file())
            if foreign is not None:
                self._record(foreign)
        else:
            self._record(found)

    def _look_at_log(self) -> None:
        element = self._element
        head = element.head()
        log = LogCheck(element.fs, element.layout, element.file().log_id, self._read)
        for event in log.events(self._progress.log_after):
            match event:
                case Finding():
                    if log.again(event):
                        self._record(event)
                case Known():
                    self._spend(KNOWN_COST_BYTES)
                    if event.sequence <= head:
                        self._look_at_known(event)
                        self._progress.log_after = event.sequence
                case Ended() if event.sequence < head:
                    self._record_lost_end(event.sequence, head)

    def _record_lost_end(self, last: int, head: int) -> None:
        path = self._element.layout.log.removeprefix(f"{self._element.layout.root}/")
        cause = f"the changes {last + 1} to {head} were written and are not there"
        self._record(Finding(FindingKind.LOG_DAMAGED, None, path, cause))

    def _look_at_known(self, known: Known) -> None:
        if self._inspection.known(known) is None:
            return
        try:
            with self._element.claims.held(known.file_id):
                self._element.check()
                finding = self._inspection.known(known)
                if finding is not None:
                    self._record(finding)
        except Unavailable:
            self._element.check()

    # --- files ------------------------------------------------------------------------

    def _look_at_files(self) -> None:
        for group in self._element.shelf.groups(self._progress.after):
            self._element.check()
            self._spend(FILE_COST_BYTES)
            if self._inspection.group(group):
                self._look_again(group)
            if group.file_id is not None:
                self._progress.after = group.file_id
                self._progress.checked_files += 1
                SCRUB_FILES.inc()

    def _look_again(self, group: Group) -> None:
        """Believe it when nothing changed between reading it and holding its claim."""
        file_id = group.file_id
        for _ in range(TRIES):
            before = self._state_of(file_id)
            found = self._inspection.group(group)
            if not found:
                return
            if file_id is None:
                for finding in found:
                    self._record(finding)
                return
            try:
                with self._element.claims.held(file_id):
                    # After a fault a file may be half in its place, and its claim is free.
                    self._element.check()
                    if self._state_of(file_id) == before and self._is_still_there(group, found):
                        for finding in found:
                            self._record(finding)
                        return
            except Unavailable:
                self._element.check()
        get_logger().info("a file that changes is left to the next pass", file_id=file_id)

    def _is_still_there(self, group: Group, found: list[Finding]) -> bool:
        """What a deletion was about to take away: its tombstone comes first, and is the same state
        of the file from then on."""
        surplus = [each for each in found if each.kind is FindingKind.SURPLUS]
        return not surplus or set(surplus) <= set(self._inspection.group(group, contents=False))

    def _state_of(self, file_id: FileId | None) -> tuple[bytes | None, int]:
        """Another one whenever the file changed, or its content was made whole."""
        try:
            attr = self._element.shelf.attr(file_id) if file_id is not None else None
        except OSError:
            attr = None
        return attr, self._repairs()

    # --- what was open ----------------------------------------------------------------

    def _look_at_quarantine(self) -> None:
        """A deletion may have been cut before the damaged bytes were gone too."""
        for file_id in self._aside.files():
            with self._element.claims.held(file_id):
                if self._is_deleted(file_id):
                    self._docket.close_deleted(file_id)

    def _look_at_open(self) -> None:
        """A pass that saw everything did not see these: they are no more."""
        started_at = self._progress.started_at
        assert started_at is not None
        for known in list(self._ledger.all()):
            if known.seen_at >= started_at:
                continue
            if known.file_id is None or known.finding is FindingKind.SURPLUS:
                self._docket.close(known, FindingKind.REPAIRED, "it is as it should be again")
                continue
            with self._element.claims.held(known.file_id):
                self._look_at_open_file(known, known.file_id)

    def _look_at_open_file(self, known: OpenFinding, file_id: FileId) -> None:
        if not self._element.shelf.has_record(file_id):
            return
        directory, _, name = self._element.layout.attr(file_id).rpartition("/")
        if not self._inspection.group(Group(directory, [name])):
            self._docket.close(known, FindingKind.REPAIRED, "record and content are whole again")

    def _is_deleted(self, file_id: FileId) -> bool:
        try:
            record = sidecar.parse(self._element.shelf.attr(file_id), file_id)
        except (FileNotFoundError, sidecar.AttrDamaged):
            return False
        return record.deleted is not None

    def _record(self, finding: Finding) -> None:
        if self._docket.record(finding):
            self._progress.findings += 1

    def _read(self, size: int) -> None:
        self._count_bytes(size)
        self._spend(size)
