"""The words of all checks."""

from collections.abc import Callable
from typing import NamedTuple

from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind

Spend = Callable[[int], None]
"""Told how many bytes are about to be read; may wait, and may raise to end it all."""


def as_text(path: str) -> str:
    """A name on the disk may be no text at all; this one can be shown and written down."""
    return path.encode(errors="backslashreplace").decode()


class Known(NamedTuple):
    """The log says that this file exists, in this revision or a later one."""

    sequence: int
    file_id: FileId
    revision: int


class Finding(NamedTuple):
    """Something is not as it was stored. `path` is relative to the element's root; `cause`
    is for people."""

    kind: FindingKind
    file_id: FileId | None
    path: str
    cause: str

    def detail(self) -> dict[str, object]:
        """As the feed tells it: docs/formats/log.md."""
        return {
            "finding": self.kind.value,
            "file_id": self.file_id,
            "path": self.path,
            "cause": self.cause,
        }
