"""How far the scrub is: one small file, replaced whole every few seconds."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from artstore.core.logging import get_logger
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import ScrubState
from artstore.storage.engine.durable_file import replace_file
from artstore.storage.engine.fs import Fs, read_file
from artstore.storage.engine.layout import Layout

FORMAT_VERSION: Final = 1
NAME: Final = "scrub.json"


class Progress(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=False)

    format_version: Literal[1] = FORMAT_VERSION
    state: ScrubState = ScrubState.IDLE
    started_at: datetime | None = None
    log_after: int = 0
    """History up to here was looked at in this pass."""
    is_log_done: bool = False
    after: FileId | None = None
    checked_files: int = 0
    checked_bytes: int = 0
    findings: int = 0
    last_completed_at: datetime | None = None
    last_checked_bytes: int = 0
    """By the last complete pass."""

    def begin(self, now: datetime) -> None:
        self.state = ScrubState.RUNNING
        self.started_at = now
        self.log_after, self.is_log_done, self.after = 0, False, None
        self.checked_files = self.checked_bytes = self.findings = 0

    def complete(self, now: datetime) -> None:
        self.state = ScrubState.IDLE
        self.last_completed_at = now
        self.last_checked_bytes = self.checked_bytes


def load(fs: Fs, layout: Layout) -> Progress:
    """What was saved; a new one if there is none that can be read: then it all begins again."""
    try:
        return Progress.model_validate_json(read_file(fs, f"{layout.root}/{NAME}"))
    except FileNotFoundError:
        return Progress()
    except ValidationError:
        get_logger().warning("the state of the scrub cannot be read; it begins anew")
        return Progress()


def save(fs: Fs, layout: Layout, progress: Progress) -> None:
    data = progress.model_dump_json(indent=2).encode() + b"\n"
    replace_file(fs, f"{layout.root}/{NAME}", data)
