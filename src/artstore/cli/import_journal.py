"""The report of an import, which is also what the next run goes on from.

`report.jsonl` is only appended to: a line with the key before each upload, one with both
digests after it. `summary.csv` is made of it at the end of a run.
"""

import csv
import errno
import fcntl
import json
import os
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from artstore.core.model.ids import FileId, file_id_time

KEY_LIFETIME: Final = timedelta(hours=23)
"""The archive takes a key for a day."""

COLUMNS: Final = (
    "source",
    "status",
    "file_id",
    "size",
    "source_sha256",
    "stored_sha256",
    "equal",
    "error",
)


@dataclass(frozen=True, slots=True)
class Version:
    """Of what is imported: another one is imported anew."""

    size: int
    mark: str
    """What changes with it: the time of its last change, or an ETag."""


class Journal:
    """In a folder of its own; one process at a time. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError`: it cannot be kept, or another process has it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(folder / "report.jsonl", flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            reason = "another import writes this report: wait for its end"
            raise OSError(errno.EBUSY, reason, str(folder)) from None
        self._last: dict[str, dict[str, Any]] = {}
        self._imported: dict[str, dict[str, Any]] = {}
        """A later failure to read it does not take that back."""
        self._read()

    def close(self) -> None:
        os.close(self._descriptor)

    def imported_id(self, source: str, version: Version) -> str | None:
        line = self._imported.get(source, {})
        return line.get("file_id") if _is_of(line, version) else None

    def begin(self, source: str, version: Version, new_key: str, now: datetime) -> dict[str, Any]:
        """The line of the upload that begins or goes on; on disk on return. Blocking.

        With `ask`, the archive may have it from a run whose key is good no more.
        """
        line = self.last(source, version)
        key = line.get("key")
        if key is not None and now - file_id_time(FileId(key)) < KEY_LIFETIME:
            return line
        begun = self.note(source, version, status="begun", key=new_key)
        os.fdatasync(self._descriptor)
        return {**begun, "ask": key is not None}

    def note(self, source: str, version: Version, **more: Any) -> dict[str, Any]:
        line = {"source": source, "size": version.size, "mark": version.mark, **more}
        left = json.dumps(line).encode() + b"\n"
        with self._lock:
            while left:
                left = left[os.write(self._descriptor, left) :]
            self._remember(line)
        return line

    def summarise(self) -> None:
        """Write `summary.csv`, one row for each source."""
        os.fsync(self._descriptor)
        temporary = self._folder / "summary.csv.new"
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
            writer.writeheader()
            for line in self._last.values():
                error = line.get("error", {})
                writer.writerow({**line, "error": error.get("detail", "")})
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / "summary.csv")

    def last(self, source: str, version: Version) -> dict[str, Any]:
        line = self._last.get(source, {})
        return line if _is_of(line, version) else {}

    def _remember(self, line: dict[str, Any]) -> None:
        self._last[line["source"]] = line
        if line.get("status") == "imported":
            self._imported[line["source"]] = line

    def _read(self) -> None:
        """The last line of each source; one that a crash tore off says nothing."""
        whole = True
        with (self._folder / "report.jsonl").open("rb") as file:
            for raw in file:
                whole = raw.endswith(b"\n")
                try:
                    self._remember(json.loads(raw))
                except (ValueError, KeyError, TypeError):
                    continue
        if not whole:
            os.write(self._descriptor, b"\n")


def _is_of(line: dict[str, Any], version: Version) -> bool:
    return (line.get("size"), line.get("mark")) == (version.size, version.mark)
