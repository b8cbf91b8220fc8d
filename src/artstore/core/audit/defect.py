"""What is wrong with an export, in words for people who did not write this program."""

from enum import StrEnum


class DefectKind(StrEnum):
    CHANGED = "changed"
    """A record is not what was logged."""
    MISSING = "missing"
    MOVED = "moved"
    """A record of the log stands where another one belongs."""
    ADDED = "added"
    UNPROVEN = "unproven"
    """The proof was damaged or is that of another log: nothing is shown of these records."""
    UNSIGNED = "unsigned"
    """The log's key has not signed this state."""
    UNCONFIRMED = "unconfirmed"
    """Too few witnesses have seen this state: the holder of the log's key may have made it up."""
    FORKED = "forked"
    """Two states were signed that cannot both be true."""


class DefectFound(Exception):
    """An export is not the true record. `first` to `last` are the records that it concerns:
    one, where it can be told which; else the smallest range that is not proven."""

    def __init__(
        self, kind: DefectKind, first: int, sentence: str, last: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.first = first
        self.last = first if last is None else last
        self.sentence = sentence
