"""Judges a whole element's directory with nothing but its files: no service, no lock, no
change, also while the element runs or when the directory is a copy.

Without the element's claims a change on its way looks like damage. So whatever looks wrong is
looked at again after a moment, and what only the log holds so far is the log's to put in
place, at the element's next start.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from artstore.core.model.element import StorageMode
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.archive.directory import DirectoryArchive
from artstore.storage.engine.archive.marks import Notebook
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub.element_check import read_element
from artstore.storage.engine.scrub.findings import Finding, Known
from artstore.storage.engine.scrub.inspection import Inspection
from artstore.storage.engine.scrub.log_check import Covered, LogCheck
from artstore.storage.engine.scrub.shelf import ArchivedShelf, LocalShelf, Shelf
from artstore.storage.engine.scrub.walk import Group

SETTLE_S: Final = 1.0
"""Longer than an element needs to bring a change from its log to its place."""

SUSPECTS_MAX: Final = 1000
"""So many wait together for their second look."""


class Advance(Protocol):
    def advance(self, done_bytes: int) -> None: ...

    def file_done(self, done_bytes: int) -> None: ...


class Suspect(NamedTuple):
    """What was looked at, to do it again."""

    look: Callable[[], list[Finding]]
    file_id: FileId | None


@dataclass
class Tally:
    files: int = 0
    read_bytes: int = 0
    log_bytes: int = 0
    log_only: int = 0
    """Files that are not in their place, and need not be before the next start."""


class Survey:
    """
    Args:
        advance: Told how many bytes of files were read, and that one is done.
        wait: Sleeps so many seconds.
        archive: Directory of the archive of an element in mode `ar`; without it, contents that
            are not online are not looked for.
        is_log_only: The files lie elsewhere, in an object store.
    """

    def __init__(
        self,
        fs: Fs,
        root: str,
        advance: Advance,
        wait: Callable[[float], object],
        *,
        archive: str | None = None,
        is_log_only: bool = False,
    ) -> None:
        self._archive = archive
        self._fs = fs
        self._is_log_only = is_log_only
        self._layout = Layout(root)
        self._shelf: Shelf = LocalShelf(fs, self._layout)
        self._advance = advance
        self._wait = wait
        self._inspection = self._inspect(content_expected=True)
        self._uncovered: dict[FileId, Known] = {}
        self._lost: set[FileId] = set()
        """The log names a file once for each of its changes; it is told once."""
        self._log_only: set[FileId] = set()
        self._suspects: list[Suspect] = []
        self.tally = Tally()
        self.element: ElementFile | None = None

    def findings(self) -> Iterator[Finding]:
        """Raises:
        FileNotFoundError: There is no element here.
        """
        for directory in (self._layout.data, self._layout.log):
            next(iter(self._fs.names(directory)), None)
        found = read_element(self._fs, self._layout)
        if isinstance(found, Finding):
            # Its feed id is needed to check the log.
            yield found
        else:
            self.element = found
            if self._archive is not None:
                notebook = Notebook(self._fs, self._layout)
                archive = DirectoryArchive(self._fs, self._archive, found.element_id, notebook)
                self._shelf = ArchivedShelf(self._fs, self._layout, archive)
            expected = self._archive is not None or found.mode is not StorageMode.AR
            self._inspection = self._inspect(content_expected=expected)
            yield from self._log(found.log_id)
        if not self._is_log_only:
            yield from self._files()
            self._count_log_only()

    def _inspect(self, *, content_expected: bool) -> Inspection:
        return Inspection(self._shelf, self._layout, self._count, content_expected=content_expected)

    def _log(self, log_id: bytes) -> Iterator[Finding]:
        log = LogCheck(self._fs, self._layout, log_id, self._count_log)
        for event in log.events():
            match event:
                case Finding():
                    yield from self._later(_again(log, event), None)
                case Known() if not self._is_log_only:
                    self._uncovered[event.file_id] = event
                case Covered():
                    yield from self._settled(event.sequence)
        yield from self._second_look()

    def _settled(self, sequence: int) -> Iterator[Finding]:
        """The log says that these are in their places."""
        for known in list(self._uncovered.values()):
            if known.sequence > sequence:
                continue
            del self._uncovered[known.file_id]
            if known.file_id not in self._lost and self._inspection.known(known) is not None:
                self._lost.add(known.file_id)
                yield from self._later(self._known(known), known.file_id)

    def _known(self, known: Known) -> Callable[[], list[Finding]]:
        def look() -> list[Finding]:
            finding = self._inspection.known(known)
            return [finding] if finding is not None else []

        return look

    def _files(self) -> Iterator[Finding]:
        for group in self._shelf.groups(None):
            file_id = group.file_id
            if self._inspection.group(group):
                yield from self._later(self._group(group), file_id)
            if file_id is not None:
                self.tally.files += 1
                self._advance.file_done(0)
        yield from self._second_look()

    def _group(self, group: Group) -> Callable[[], list[Finding]]:
        return lambda: self._inspection.group(group)

    def _later(
        self, look: Callable[[], list[Finding]], file_id: FileId | None
    ) -> Iterator[Finding]:
        self._suspects.append(Suspect(look, file_id))
        if len(self._suspects) >= SUSPECTS_MAX:
            yield from self._second_look()

    def _second_look(self) -> Iterator[Finding]:
        suspects, self._suspects = self._suspects, []
        if suspects:
            self._wait(SETTLE_S)
        for suspect in suspects:
            found = suspect.look()
            if suspect.file_id not in self._uncovered:
                yield from map(self._explained, found)
            elif found:
                self._log_only.add(FileId(suspect.file_id))

    def _count_log_only(self) -> None:
        for known in self._uncovered.values():
            if self._inspection.known(known) is not None:
                self._log_only.add(known.file_id)
        self.tally.log_only = len(self._log_only)

    def _explained(self, finding: Finding) -> Finding:
        """Content that the scrub moved away is not simply missing."""
        aside = f"quarantine/{finding.file_id}"
        moved = finding.kind is FindingKind.MISSING_CONTENT and self._fs.exists(
            f"{self._layout.root}/{aside}"
        )
        if not moved:
            return finding
        return finding._replace(cause=f"its damaged content was set aside in {aside}")

    def _count(self, size: int) -> None:
        self.tally.read_bytes += size
        self._advance.advance(size)

    def _count_log(self, size: int) -> None:
        self.tally.log_bytes += size


def _again(log: LogCheck, finding: Finding) -> Callable[[], list[Finding]]:
    return lambda: [finding] if log.again(finding) else []
