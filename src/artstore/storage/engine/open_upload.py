"""One upload that comes in parts: its state file, and what is hashed on the way."""

import hashlib
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from artstore.core.errors import ChecksumMismatch
from artstore.core.model.file import FILE_BYTES_MAX, FileDraft, Model
from artstore.core.model.ids import FileIdField

_FORMAT_VERSION: Final = 1


class OpenUpload(Model):
    """An upload under way, as its state file has it. `draft.size` is always known."""

    format_version: Literal[1] = _FORMAT_VERSION
    file_id: FileIdField
    size: int = Field(ge=0, le=FILE_BYTES_MAX)
    offset: int = Field(ge=0)
    expires_at: AwareDatetime
    draft: FileDraft

    @property
    def is_whole(self) -> bool:
        return self.offset == self.size


class Checksum:
    """What the sender says of one part (tus: `Upload-Checksum`)."""

    def __init__(self, algorithm: Literal["sha1", "sha256"], value: bytes) -> None:
        self._digest = hashlib.new(algorithm, usedforsecurity=False)
        self._value = value

    def update(self, data: bytes) -> None:
        self._digest.update(data)

    def check(self) -> None:
        """Raises `ChecksumMismatch`."""
        if self._digest.digest() != self._value:
            raise ChecksumMismatch("this part did not arrive as it was sent; send it again")


class RunningDigest:
    """SHA-256 that knows how many bytes it has seen."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        self.size += len(data)

    def copy(self) -> "RunningDigest":
        copy = RunningDigest()
        copy._sha256, copy.size = self._sha256.copy(), self.size
        return copy

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()
