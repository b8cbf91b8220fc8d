"""What the scrub of an element finds, and how far it is."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from artstore.core.model.ids import FileId

RATE_BYTES_MIN = 1 << 16
RATE_BYTES_MAX = 1 << 40


class FindingKind(StrEnum):
    DAMAGED = "damaged"
    """The content is not what was stored. It was moved to the quarantine."""
    UNREADABLE = "unreadable"
    """The disk does not give the bytes; nothing was moved."""
    MISSING_CONTENT = "missing_content"
    """There is a record, or the log knows of the file, but its bytes are not there."""
    ATTR_DAMAGED = "attr_damaged"
    """The attr.json is not what was written, or older than the log says."""
    WRONG_ATTR = "wrong_attr"
    """A whole attr.json, but of another file."""
    SURPLUS = "surplus"
    """Bytes that no record knows."""
    LOG_DAMAGED = "log_damaged"
    ELEMENT_DAMAGED = "element_damaged"
    """The element.json is not what was written."""
    REPAIRED = "repaired"
    """A former finding: the file is whole again."""
    QUARANTINE_CLEARED = "quarantined_cleared"
    """A former finding: the file was deleted, and its damaged bytes with it."""

    @property
    def is_defect(self) -> bool:
        return self not in (FindingKind.REPAIRED, FindingKind.QUARANTINE_CLEARED)


class ScrubState(StrEnum):
    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    """By request; also after a restart, until it is resumed."""


class ScrubStatus(BaseModel):
    """Of the running pass, or of the last one."""

    model_config = ConfigDict(frozen=True)

    state: ScrubState = ScrubState.IDLE
    started_at: datetime | None = None
    checked_files: int = Field(default=0, ge=0)
    checked_bytes: int = Field(default=0, ge=0)
    findings: int = Field(default=0, ge=0)
    """New in this pass."""
    open_findings: int = Field(default=0, ge=0)
    """Of any pass, not repaired yet."""
    progress_after: FileId | None = None
    """Everything up to this file was looked at."""
    progress_ratio: float = Field(default=0.0, ge=0, le=1)
    """About; by the bytes of the last pass, or of the volume."""
    rate_bytes_per_s: int = Field(ge=1)
    last_completed_at: datetime | None = None
    next_at: datetime | None = None
    """`None`: only on demand."""
    trouble: str | None = None
    """Why it does not get on; it tries again by itself."""


class ScrubRequest(BaseModel):
    """`start` begins anew, also when a pass is running."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["start", "pause", "resume"]
    rate_bytes_per_s: int | None = Field(default=None, ge=RATE_BYTES_MIN, le=RATE_BYTES_MAX)
    """From now on, until the element restarts with another setting."""
