"""Something else stands where a record belongs. Says what happened to the record.

Only the hashes of the current 256 records are known, and the line that follows: enough to name
the record, and nearly always to tell a change from a loss, a move or an addition.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.lines import Hashes, Line, Record


@dataclass(frozen=True, slots=True)
class Window:
    """The proven hashes of the records from `start` on."""

    start: int
    leaves: Sequence[bytes]

    def leaf_at(self, index: int) -> bytes | None:
        position = index - self.start
        return self.leaves[position] if 0 <= position < len(self.leaves) else None

    def __contains__(self, index: int) -> bool:
        return 0 <= index - self.start < len(self.leaves)


def diagnose(window: Window, index: int, found: Line, following: Line | None) -> DefectFound:
    """What to say of record `index` when `found` stands in its place."""
    expected = window.leaf_at(index)
    if isinstance(found, Hashes):
        return missing(index, window.start + len(window.leaves) - 1, "the file goes on behind it")
    if isinstance(found, Record) and found.leaf == expected:
        return DefectFound(DefectKind.CHANGED, index, f"Record {index} was changed: {found.flaw}.")
    comes_next = following.leaf if isinstance(following, Record) else None
    place = _place_of(window, found)
    if comes_next == expected and (place is None or place < index):
        return DefectFound(DefectKind.ADDED, index, f"Something was added before record {index}.")
    if place is None or place == index:
        sentence = f"Record {index} was changed: it is not what was logged."
        return DefectFound(DefectKind.CHANGED, index, sentence)
    says_so = isinstance(found, Record) and found.claimed == place
    if place > index and says_so and comes_next not in (expected, window.leaf_at(index + 1)):
        return missing(index, place - 1, f"record {place} stands in its place")
    sentence = f"Record {place} stands where record {index} belongs."
    return DefectFound(DefectKind.MOVED, index, sentence)


def missing(first: int, last: int, why: str) -> DefectFound:
    last = max(first, last)
    subject = f"Record {first} is" if first == last else f"Records {first} to {last} are"
    return DefectFound(DefectKind.MISSING, first, f"{subject} missing: {why}.", last)


def _place_of(window: Window, found: Line) -> int | None:
    """Where a record belongs, as far as can be told: proven inside the window; elsewhere only
    what it says of itself."""
    if not isinstance(found, Record):
        return None
    if found.leaf in window.leaves:
        return window.start + window.leaves.index(found.leaf)
    return None if found.claimed in window or found.flaw is not None else found.claimed
