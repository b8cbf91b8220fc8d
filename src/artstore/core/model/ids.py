"""Names of things: files and storage elements."""

import re
import threading
from datetime import UTC, datetime
from typing import Annotated, NewType

from pydantic import AfterValidator, StringConstraints

from artstore.core.errors import InvalidRequest
from artstore.core.model.findings import NAME

_FILE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

FileId = NewType("FileId", str)
"""A UUIDv7 in canonical lower case. Sorting ids sorts files by the time they came in."""


def parse_file_id(text: str) -> FileId:
    """The id in `text`; anything but a canonical lower-case UUIDv7 is `InvalidRequest`.

    Strict because the id becomes a path on the element.
    """
    if not _FILE_ID.fullmatch(text):
        raise InvalidRequest("a file id is a UUIDv7 in lower case", field="file_id")
    return FileId(text)


def is_file_id(text: str) -> bool:
    return _FILE_ID.fullmatch(text) is not None


def file_id_time(file_id: FileId) -> datetime:
    """When the id was made, to the millisecond, UTC."""
    unix_ms = int(file_id[:8] + file_id[9:13], 16)
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


class FileIdSource:
    """Makes ids that sort in the order of their making, within one process.

    RFC 9562, 6.2 method 1: ids of one millisecond count up in the 12 bits of `rand_a`.
    When the clock stands still or goes back, the last timestamp is used on.
    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def new(self, now: datetime, random_bytes: bytes) -> FileId:
        """Args: `random_bytes`: at least 10 from a secure source."""
        unix_ms = int(now.timestamp() * 1000)
        with self._lock:
            if unix_ms > self._last_ms:
                self._last_ms = unix_ms
                # The upper half stays free for counting.
                self._counter = int.from_bytes(random_bytes[8:10]) & 0x7FF
            else:
                self._counter += 1
                if self._counter > 0xFFF:
                    self._last_ms += 1
                    self._counter = 0
            timestamp_ms, counter = self._last_ms, self._counter
        # As `str(UUID(...))`, for a fifth of the cost.
        moment, tail = f"{timestamp_ms:012x}", random_bytes[:8].hex()
        variant = "89ab"[random_bytes[0] >> 4 & 3]
        return FileId(f"{moment[:8]}-{moment[8:]}-7{counter:03x}-{variant}{tail[1:4]}-{tail[4:]}")


def _checked_file_id(text: str) -> str:
    if not is_file_id(text):
        raise ValueError("a file id is a UUIDv7 in lower case")
    return text


FileIdField = Annotated[FileId, AfterValidator(_checked_file_id)]
"""For pydantic models and route parameters."""

ElementId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Name of a storage element: lower case letters, digits and hyphens, at most 63."""

CollectionName = Annotated[str, StringConstraints(pattern=NAME)]
"""Name of a collection: as an element's, with dots and underscores too."""
