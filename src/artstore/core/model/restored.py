"""A copy of an archived file that can be read for a while."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from artstore.core.model.file import FileRecord, Model
from artstore.core.model.ids import ElementId, FileIdField

_FORMAT_VERSION: Final = 1


class RestoredCopy(Model):
    """What lies beside its bytes. It is no file of the element: nothing depends on it, and it
    goes at `expires_at`."""

    format_version: Literal[1] = _FORMAT_VERSION
    file_id: FileIdField
    restored_from: ElementId
    restored_at: AwareDatetime
    expires_at: AwareDatetime
    record: FileRecord
    """As the archived file has it, with `restored_from`."""


class RestoreTerms(Model):
    """Where a copy comes from, and until when it is kept."""

    restored_from: ElementId
    expires_at: AwareDatetime


class RestoreState(StrEnum):
    NONE = "none"
    """Nobody has asked for it, or that was long ago."""
    PENDING = "pending"
    READY = "ready"
    """It can be downloaded until `expires_at`."""
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Restore(BaseModel):
    """How it stands with a file that is to be read and lies in an archive."""

    model_config = ConfigDict(frozen=True)

    file_id: FileIdField
    state: RestoreState
    job_id: int | None = None
    requested_at: datetime | None = None
    element_id: ElementId | None = None
    expires_at: datetime | None = None
    trouble: str | None = None
    """Why it takes so long, or why it failed."""
