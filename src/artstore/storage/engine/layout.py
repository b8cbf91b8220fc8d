"""Where things are under the root. The path of a file follows from its id alone."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from artstore.core.errors import InvalidRequest
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId

_EXTENSION_CHARS_MAX: Final = 16
ATTR_SUFFIX: Final = ".attr.json"
_HOUR_MS: Final = 3_600_000
_YEAR_10000_HOURS: Final = 70_389_528


def extension_of(filename: str) -> str:
    """`.pdf`, or nothing: only what is safe in a path on any system."""
    _, dot, name = filename.rpartition(".")
    is_safe = dot and name.isascii() and name.isalnum() and len(name) <= _EXTENSION_CHARS_MAX
    return f".{name}" if is_safe else ""


@lru_cache(maxsize=256)
def _hour_path(hour: int) -> str:
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y/%m/%d/%H")


class Layout:
    def __init__(self, root: str) -> None:
        self.root: Final = root
        self.data: Final = f"{root}/data"
        self.log: Final = f"{root}/log"
        self.staging: Final = f"{root}/tmp"  # noqa: S108  inside the root, not the system's
        self.uploads: Final = f"{root}/uploads"
        self.restored: Final = f"{root}/restored"
        self.archive: Final = f"{root}/archive.json"
        self.element: Final = f"{root}/element.json"
        self.lock: Final = f"{root}/lock"

    def directory(self, file_id: FileId) -> str:
        """Of the UTC hour in the id.

        Raises:
            InvalidRequest: The id's time lies behind the year 9999.
        """
        hour = int(file_id[:8] + file_id[9:13], 16) // _HOUR_MS
        if hour >= _YEAR_10000_HOURS:
            raise InvalidRequest("the time in the file id is out of range", field="file_id")
        return f"{self.data}/{_hour_path(hour)}"

    def content(self, record: FileRecord) -> str:
        return self.places(record)[0]

    def places(self, record: FileRecord) -> tuple[str, str]:
        """Of the content and of the attr.json."""
        start = f"{self.directory(record.file_id)}/{record.file_id}"
        return start + extension_of(record.original_filename), start + ATTR_SUFFIX

    def attr(self, file_id: FileId) -> str:
        return f"{self.directory(file_id)}/{file_id}{ATTR_SUFFIX}"

    def staged(self, name: str) -> str:
        """Where a large file waits until its record is durable."""
        return f"{self.staging}/{name}"

    def restored_copy(self, file_id: FileId) -> str:
        """Where content lies that was restored from an archive, for a while."""
        return f"{self.restored}/{file_id}"

    def open_upload(self, file_id: FileId) -> str:
        """Where the parts of an upload wait until it is whole."""
        return f"{self.uploads}/{file_id}"
