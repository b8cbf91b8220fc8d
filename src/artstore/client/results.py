"""What the SDK returns, besides the records of `artstore.core.model`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from artstore.core.model.file import Sha256
from artstore.core.model.ids import FileIdField


class StoredFile(BaseModel):
    """What an upload is answered with. `info` gives the whole record."""

    model_config = ConfigDict(frozen=True)

    file_id: FileIdField
    size: int
    sha256: Sha256
    location: str
    collection: str
    original_filename: str
    content_type: str
    uploaded_at: datetime
    receipt: str | None = None
    """The archive's signature that it has this (docs/formats/deposit-receipt.md). Keep it."""


class GivenReceipt(BaseModel):
    model_config = ConfigDict(frozen=True)

    file_id: FileIdField
    receipt: str


@dataclass(frozen=True, slots=True)
class Download:
    """A download that is complete and whose sha256 was compared."""

    file_id: str
    size: int
    sha256: str
    path: Path | None
    """`None` when it went into a stream."""


class AccessToken(BaseModel):
    """As RFC 6749, 5.1 answers it."""

    model_config = ConfigDict(frozen=True)

    access_token: str
    token_type: str
    expires_in: int
    scope: str = ""
