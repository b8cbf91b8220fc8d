"""What a collection asks of files before they are taken in, and how much may be in it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from artstore.core.model.file import FILE_BYTES_MAX
from artstore.core.model.ids import CollectionName

TYPES_MAX: Final = 64
COUNT_MAX: Final = (1 << 63) - 1
"""What PostgreSQL's `bigint` holds."""

TypePattern = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9!#$&^_.+-]{1,100}/(\*|[a-z0-9!#$&^_.+-]{1,100})$"),
]
"""A media type without parameters, or all of a kind: `image/*`."""

Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]


class OnMismatch(StrEnum):
    """What becomes of a file whose bytes are not of the type that its sender declared."""

    REFUSE = "refuse"
    FLAG = "flag"
    """It is served as what it is; the record shows both types, the answer says so."""


class OnUnscanned(StrEnum):
    """What becomes of a file that could not be scanned for viruses, for whatever reason."""

    REFUSE = "refuse"
    QUARANTINE = "quarantine"
    """It is stored, and handed out once a later scan found it clean."""
    ACCEPT_MARKED = "accept_marked"
    """It is stored and handed out; its record says that it was not scanned."""


class Quota(BaseModel):
    """`None`: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quota_bytes: Count | None = None
    quota_files: Count | None = None


class Admission(Quota):
    """The defaults are those of every collection that nobody gave rules."""

    size_bytes_max: Annotated[int, Field(ge=0, le=FILE_BYTES_MAX)] | None = None
    """Of one file."""
    allowed_types: Annotated[tuple[TypePattern, ...], Field(max_length=TYPES_MAX)] = ()
    """None: all."""
    mismatch: OnMismatch = OnMismatch.FLAG
    unscanned: OnUnscanned | None = None
    """`None`: scanned and marked where a scanner is set up, otherwise not scanned at all. Any
    other value means that files must be scanned."""


class Usage(BaseModel):
    """What lay there when it was counted."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    used_bytes: int
    used_files: int
    counted_at: datetime


class CollectionRules(BaseModel):
    model_config = ConfigDict(frozen=True)

    collection: CollectionName
    admission: Admission
    usage: Usage | None = None
    """`None`: it has no quota, or was not counted yet."""


class AccountQuota(Quota):
    """Of a person or account, over all collections."""

    subject: str
    usage: Usage | None = None


class AdmissionRules(BaseModel):
    """All that an ingester goes by: collections and accounts that are not as by default."""

    model_config = ConfigDict(frozen=True)

    collections: tuple[CollectionRules, ...] = ()
    accounts: tuple[AccountQuota, ...] = ()
