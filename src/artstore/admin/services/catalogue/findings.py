"""What elements find about their own files, told in their feeds."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from artstore.admin.repository.catalogue_files import Connection
from artstore.admin.repository.copies import note_findings
from artstore.admin.services.catalogue.feed_lines import Line
from artstore.core.model.event import Note, NoteType
from artstore.core.model.ids import is_file_id
from artstore.core.model.scrub import FindingKind

_BAD: Final = frozenset(
    {
        FindingKind.DAMAGED,
        FindingKind.UNREADABLE,
        FindingKind.MISSING_CONTENT,
        FindingKind.ATTR_DAMAGED,
        FindingKind.WRONG_ATTR,
    }
)
"""The element cannot hand the file out as it was stored."""


async def apply_findings(connection: Connection, element_id: str, lines: Iterable[Line]) -> None:
    """In the caller's transaction. What is damaged gets a job that mends it."""
    latest: dict[UUID, str] = {}
    for line in lines:
        if isinstance(line, Note) and line.type is NoteType.FINDING:
            file_id = str(line.detail.get("file_id"))
            if is_file_id(file_id):
                latest[UUID(file_id)] = str(line.detail.get("finding"))
    damaged = [file_id for file_id, finding in latest.items() if finding in _BAD]
    mended = [file_id for file_id, finding in latest.items() if finding == FindingKind.REPAIRED]
    if damaged or mended:
        await note_findings(connection, element_id, damaged, mended)
