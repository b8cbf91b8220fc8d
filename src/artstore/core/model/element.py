"""A storage element, as others see it."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from artstore.core.model.ids import ElementId
from artstore.core.model.scrub import ScrubStatus


class StorageMode(StrEnum):
    """What an element allows. One-way `rw -> ro -> ar`; `edit` stays `edit`."""

    EDIT = "edit"
    """Create, read, change, delete."""
    RW = "rw"
    """Create and read; nothing is deleted."""
    RO = "ro"
    """Read."""
    AR = "ar"
    """Records are online, bytes are in an archive; reading needs a restore."""

    @property
    def accepts_files(self) -> bool:
        return self in (StorageMode.EDIT, StorageMode.RW)


class CapacityState(StrEnum):
    """How near the end is; by how much is free above the reserve."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    FULL = "full"
    """It takes no more files."""


class Capacity(BaseModel):
    """Bytes of the volume. An upload must leave `reserved` of `free` untouched."""

    model_config = ConfigDict(frozen=True)

    total: int = Field(ge=0)
    used: int = Field(ge=0)
    free: int = Field(ge=0)
    reserved: int = Field(ge=0)
    state: CapacityState = CapacityState.OK

    @property
    def available(self) -> int:
        return max(0, self.free - self.reserved)


class ArchiveStatus(BaseModel):
    """How far an element in mode `ar` has moved its contents to its archive."""

    model_config = ConfigDict(frozen=True)

    moved_files: int = Field(ge=0)
    moved_bytes: int = Field(ge=0)
    left_files: int = Field(default=0, ge=0)
    """Passed over by the walk so far, since they are not as they were stored; they stay online."""
    complete: bool
    trouble: str | None = None
    """Why it does not get on; what is in the archive cannot be restored then either."""


class ElementInfo(BaseModel):
    """What an element says of itself (`GET /api/v1/info`)."""

    model_config = ConfigDict(frozen=True)

    element_id: ElementId
    mode: StorageMode
    version: str
    writable: bool
    """False when the mode forbids it or the volume failed; reads go on."""
    capacity: Capacity
    feed_id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z._-]{1,64}$")]
    """Names this history of changes. Another id means another history: list again."""
    head_seq: int = Field(ge=0)
    """The last change that is durable."""
    oldest_seq: int = Field(ge=0)
    """The feed can be read after this position, and not before it."""
    scrub: ScrubStatus | None = None
    archive: ArchiveStatus | None = None
    """`None` unless it is in mode `ar` and has an archive."""


ElementUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")]


class ElementEntry(BaseModel):
    """An element in the registry of the admin module."""

    model_config = ConfigDict(frozen=True)

    element_id: ElementId
    url: ElementUrl
    priority: int = Field(default=100, ge=0, le=1_000_000)
    """The lowest is filled first."""


class DrainState(StrEnum):
    """Whether an element is being emptied of its duties. Nothing on it is deleted."""

    OFF = "off"
    DRAINING = "draining"
    """It gets no new files; those it has are copied to others."""
    DRAINED = "drained"
    """Every file of it is elsewhere as well: it may be taken off."""


class RegisteredElement(ElementEntry):
    """An entry as the registry shows it to the services that place files."""

    drain: DrainState = DrainState.OFF
