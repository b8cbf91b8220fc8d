"""Changes of files, as an element's feed tells them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from artstore.core.model.file import FileRecord

TraceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class ChangeType(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class Change(BaseModel):
    """One line of the feed. `seq` grows by at least one from change to change.

    `record` is the whole record after the change; for `deleted` it is the tombstone.
    """

    model_config = ConfigDict(frozen=True)

    seq: int = Field(ge=1)
    type: ChangeType
    at: datetime
    trace_id: TraceId | None = None
    record: FileRecord
