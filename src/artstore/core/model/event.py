"""What happened on an element, as its feed tells it: changes of files, and notes."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from artstore.core.model.file import FileRecord, Origin

TraceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Cause(NamedTuple):
    """What made a file come: the trace of the request, and who carried it."""

    trace_id: TraceId | None
    origin: Origin | None = None


class ChangeType(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class NoteType(StrEnum):
    FINDING = "finding"
    """Something is not as it was stored, or is again."""
    MODE_CHANGED = "mode_changed"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    seq: int = Field(ge=1)
    """Grows by at least one from line to line."""
    at: datetime
    trace_id: TraceId | None = None


class Change(_Line):
    """`record` is the whole record after the change; for `deleted` it is the tombstone."""

    type: ChangeType
    record: FileRecord
    origin: Origin | None = None
    """Of an upload, as its ingester saw it."""


class Note(_Line):
    """About no change of a file. What `detail` holds is said in docs/formats/log.md."""

    type: NoteType
    detail: dict[str, Any]


_NOTE_TYPES = frozenset(NoteType)


def _line_kind(line: Any) -> str:
    kind = line.get("type") if isinstance(line, dict) else getattr(line, "type", None)
    return "note" if kind in _NOTE_TYPES else "change"


FeedLine = Annotated[
    Annotated[Change, Tag("change")] | Annotated[Note, Tag("note")], Discriminator(_line_kind)
]
