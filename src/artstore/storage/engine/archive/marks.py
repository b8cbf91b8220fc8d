"""The two small files that tie an element and its archive together (docs/formats/archive.md)."""

import secrets
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from artstore.core.model.file import Model
from artstore.core.model.ids import ElementId, FileIdField
from artstore.storage.engine.archive.base import ArchiveAway
from artstore.storage.engine.durable_file import replace_file
from artstore.storage.engine.fs import Fs, read_file
from artstore.storage.engine.layout import Layout

_FORMAT_VERSION: Final = 1
ArchiveId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class ArchiveMark(Model):
    """archive.json in the archive: whose it is."""

    format_version: Literal[1] = _FORMAT_VERSION
    archive_id: ArchiveId = Field(default_factory=lambda: secrets.token_hex(16))
    element_id: ElementId

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"


class ArchiveNotes(Model):
    """archive.json under the element's root: which archive it has, and what is in there."""

    format_version: Literal[1] = _FORMAT_VERSION
    archive_id: ArchiveId
    after: FileIdField | None = None
    """Contents up to this file were moved."""
    moved_files: int = Field(default=0, ge=0)
    moved_bytes: int = Field(default=0, ge=0)
    left_files: int = Field(default=0, ge=0)
    completed_at: AwareDatetime | None = None

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"


class Notebook:
    """The element's notes; `None` until it has an archive."""

    def __init__(self, fs: Fs, layout: Layout) -> None:
        self._fs = fs
        self._path = layout.archive

    def read(self) -> ArchiveNotes | None:
        """Raises `ArchiveAway` when they cannot be read: then nobody knows which it is."""
        try:
            return ArchiveNotes.model_validate_json(read_file(self._fs, self._path))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise ArchiveAway("the element's notes on its archive are damaged") from error

    def write(self, notes: ArchiveNotes) -> None:
        """Durable on return. Raises `OSError`."""
        replace_file(self._fs, self._path, notes.to_json())
