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


_NO_HEADS = (
    (b"\x1f\x8b", "The file is compressed (gzip): unpack it, and check what comes out."),
    (b"PK\x03\x04", "This is a zip: unpack it. A proof bundle is checked by the verify.py in it."),
    (b"\xef\xbb\xbf", "Something was put before its first line, as some editors do."),
    (b"\xff\xfe", "Something was put before its first line, as some editors do."),
)


def headless(line: bytes) -> DefectFound:
    """What to say of a file whose first line, `line`, is not that of an export."""
    sentence = "The first line is not the head of an export."
    if line.startswith(b"{") and line.endswith(b"\r\n"):
        sentence = "The line ends of the file were changed, as some programs do that pass it on."
    for beginning, why in _NO_HEADS:
        if line.startswith(beginning):
            sentence = why
    return DefectFound(DefectKind.UNSIGNED, 0, sentence)


def cut_off(next_index: int, first: int, end: int) -> DefectFound:
    """The file ends in the middle of a line. Records up to `next_index` are there."""
    if next_index < end:
        return missing(next_index, end - 1, "the file is cut off in the middle of a line")
    sentence = "The last line is cut off: it cannot be told whether the file came as it was sent."
    return DefectFound(DefectKind.CHANGED, first, sentence, max(first, end - 1))


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
