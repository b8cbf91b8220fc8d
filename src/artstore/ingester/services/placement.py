"""Which storage element receives the next file.

Sequential fill: elements are filled one after another, in priority order, so that a full
one can be switched to read-only and moved to cold media as a unit. One that failed comes after
the others for a while, but before nobody at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from artstore.core.errors import NoRoom, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.element import ElementUrl, StorageMode
from artstore.core.model.ids import ElementId
from artstore.core.model.retention import Retention

RETRY_AFTER_S: Final = 2
"""The directory looks at every element this often: sooner nothing changes."""


@dataclass(frozen=True, slots=True)
class ElementReport:
    """What was last heard of an element."""

    element_id: ElementId
    url: ElementUrl
    priority: int
    mode: StorageMode | None = None
    """`None` until it answers for the first time."""
    answers: bool = False
    writable: bool = False
    available_bytes: int = 0
    """Free space above the element's reserve."""
    is_full: bool = False
    """It says itself that it takes nothing more, whatever is free."""
    is_draining: bool = False
    """It is to be taken off: nothing new goes there."""
    is_resting: bool = False
    """It failed a while ago: others come first."""

    def takes(self, size_bytes: int, mode: StorageMode) -> bool:
        return (
            self.answers
            and self.writable
            and not self.is_full
            and not self.is_draining
            and self.mode == mode
            and self.available_bytes >= size_bytes
        )


class ElementDirectory(Protocol):
    """Where reports come from; a cached view of the registry in production, a list in tests."""

    def reports(self) -> Sequence[ElementReport]: ...

    def failed(self, element_id: ElementId) -> None:
        """Pass the element over until it answers again, and let it rest: each time for longer."""
        ...

    def worked(self, element_id: ElementId) -> None:
        """It took a file. Called for each one."""
        ...


class Placement:
    def __init__(self, directory: ElementDirectory) -> None:
        self.directory = directory
        self._log = get_logger()

    def candidates(self, size_bytes: int, mode: StorageMode) -> list[ElementReport]:
        """Elements for one file of `size_bytes` (0 or more), the best first, at least one.

        Raises:
            NoRoom: Every element in `mode` would dip into its reserve.
            Unavailable: An element that might take the file does not answer.
        """
        reports = self.directory.reports()
        found = with_room(reports, size_bytes, mode)
        if not found:
            raise refusal(reports, mode)
        return found

    def pass_over(self, element: ElementReport, reason: Exception) -> None:
        self._log.warning("element passed over", element=element.element_id, reason=repr(reason))
        # A full one goes on answering, and still takes smaller files.
        if not isinstance(reason, NoRoom):
            self.directory.failed(element.element_id)

    def worked(self, element: ElementReport) -> None:
        self.directory.worked(element.element_id)


def mode_for(retention: Retention) -> StorageMode:
    """What may be deleted goes where deletion is possible; the rest where it is not."""
    return StorageMode.EDIT if retention.mode == "none" else StorageMode.RW


def with_room(
    reports: Iterable[ElementReport], size_bytes: int, mode: StorageMode
) -> list[ElementReport]:
    """Elements that take the file, in the order in which they are to be tried."""
    fitting = [report for report in reports if report.takes(size_bytes, mode)]
    # Ties go to the lower id: two ingesters with the same reports must agree.
    return sorted(fitting, key=lambda each: (each.is_resting, each.priority, each.element_id))


def refusal(reports: Sequence[ElementReport], mode: StorageMode) -> NoRoom | Unavailable:
    """Why nothing took the file: waiting helps (`Unavailable`) or it does not (`NoRoom`)."""
    # A silent element of unknown mode may be one of those we need.
    needed = [
        report for report in reports if report.mode in (mode, None) and not report.is_draining
    ]
    everyone_answers = all(report.answers and report.writable for report in needed)
    if reports and everyone_answers:
        return NoRoom(f"no storage element in mode {mode} has room for this file")
    return Unavailable(
        f"no storage element in mode {mode} answers now", retry_after_s=RETRY_AFTER_S
    )
