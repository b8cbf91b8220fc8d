"""element.json: who this element is, and its mode. Replaced whole, durable before it counts."""

import secrets
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artstore.core.model.element import StorageMode
from artstore.core.model.event import TraceId
from artstore.core.model.ids import ElementId
from artstore.storage.engine.fs import Fs, make_directories, read_file, write_all
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.refusals import ElementMismatch

FORMAT_VERSION: Final = 1


class ModeChange(BaseModel):
    """Who changed the mode, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    before: StorageMode = Field(alias="from")
    after: StorageMode = Field(alias="to")
    by: str
    reason: str
    trace_id: TraceId | None = None

    def detail(self) -> dict[str, object]:
        """As the feed tells it."""
        return self.model_dump(mode="json", by_alias=True, exclude={"trace_id"})


class ElementFile(BaseModel):
    """The content of element.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    element_id: ElementId
    created_at: datetime
    mode: StorageMode
    feed_id: str
    """32 hex digits. Names the history of changes, and is mixed into every CRC of the log."""
    untold: ModeChange | None = None
    """A change of mode that is in force and not in the log yet."""

    @property
    def log_id(self) -> bytes:
        return bytes.fromhex(self.feed_id)


def load_or_create(
    fs: Fs, layout: Layout, *, element_id: ElementId, mode: StorageMode, now: datetime
) -> ElementFile:
    """The element of this root; a new one in an empty root.

    Raises:
        ElementMismatch: The root is another element's, or its element.json is gone.
    """
    try:
        found = ElementFile.model_validate_json(read_file(fs, layout.element))
    except FileNotFoundError:
        return _create(
            fs,
            layout,
            ElementFile(
                element_id=element_id, created_at=now, mode=mode, feed_id=secrets.token_hex(16)
            ),
        )
    except ValidationError as error:
        raise ElementMismatch(f"{layout.element} is damaged or of an unknown format") from error
    if found.element_id != element_id:
        raise ElementMismatch(
            f"{layout.root} belongs to the element {found.element_id}, not to {element_id}"
        )
    # A start that was killed may have left a mode that is not durable yet.
    fs.flush_directory(layout.root)
    return found


def _create(fs: Fs, layout: Layout, element: ElementFile) -> ElementFile:
    """element.json comes last: without it a half-made root is simply made again."""
    for directory in (layout.data, layout.log):
        if fs.exists(directory) and any(fs.names(directory)):
            raise ElementMismatch(
                f"{layout.element} is missing, but {directory} is not empty; bring it back"
            )
    for directory in (layout.data, layout.log, layout.staging):
        make_directories(fs, directory)
    flush_everything(fs, layout)
    store(fs, layout, element)
    return element


def store(fs: Fs, layout: Layout, element: ElementFile) -> None:
    """Durable on return. After an `OSError` the old or the new one is there, whole."""
    document = element.model_dump_json(indent=2, by_alias=True, exclude_none=True)
    neighbour = f"{layout.staging}/element.json"
    if fs.exists(neighbour):
        fs.unlink(neighbour)
    handle = fs.create(neighbour)
    try:
        write_all(fs, handle, document.encode() + b"\n", 0)
        fs.flush(handle)
    finally:
        fs.close(handle)
    fs.rename(neighbour, layout.element)
    fs.flush_directory(layout.root)


def flush_everything(fs: Fs, layout: Layout) -> None:
    """The names of all directories above the files, also of those that an attempt made
    which was killed before it could flush them."""
    handle = fs.open_directory(layout.root)
    try:
        fs.flush_volume(handle)
    finally:
        fs.close(handle)
