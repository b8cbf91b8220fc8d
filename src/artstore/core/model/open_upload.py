"""What ingesters and elements say to each other about uploads that come in parts."""

from typing import Final, Literal

from pydantic import AwareDatetime, Field

from artstore.core.model.file import FILE_BYTES_MAX, FileDraft, FileRecord, Model
from artstore.core.model.ids import FileIdField

PART_TYPE: Final = "application/offset+octet-stream"
"""Of a body that is the next bytes of an upload; the tus protocol's own name for it."""

ChecksumAlgorithm = Literal["sha1", "sha256"]


class NewOpenUpload(Model):
    size: int = Field(ge=0, le=FILE_BYTES_MAX)
    expires_at: AwareDatetime
    draft: FileDraft


class OpenUploadState(NewOpenUpload):
    """`record`: what became of it, if it is over."""

    file_id: FileIdField
    offset: int = Field(ge=0)
    record: FileRecord | None = None

    @property
    def is_whole(self) -> bool:
        return self.offset == self.size
