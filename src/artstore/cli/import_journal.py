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
from typing import Any, Final, NamedTuple

from artstore.core.model.ids import FileId, file_id_time

KEY_LIFETIME: Final = timedelta(hours=23)
"""The archive takes a key for a day."""

NOWHERE: Final = -1
LINE_BYTES: Final = 4096
"""Most lines are shorter."""

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


class _Places(NamedTuple):
    """Where lines of a source begin in the report."""

    last: int
    imported: int
    """The last of these: a later failure to read the source does not take it back."""


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
        self._places: dict[str, _Places] = {}
        """By source. The lines themselves, with their receipts, would not fit into memory."""
        self._read()

    def close(self) -> None:
        os.close(self._descriptor)

    def imported_id(self, source: str, version: Version) -> str | None:
        places = self._places.get(source)
        if places is None or places.imported == NOWHERE:
            return None
        line = self._line_at(places.imported)
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
            place = os.lseek(self._descriptor, 0, os.SEEK_END)
            while left:
                left = left[os.write(self._descriptor, left) :]
            self._remember(line, place)
        return line

    def summarise(self) -> None:
        """Write `summary.csv`, one row for each source."""
        os.fsync(self._descriptor)
        temporary = self._folder / "summary.csv.new"
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
            writer.writeheader()
            for places in self._places.values():
                line = self._line_at(places.last)
                error = line.get("error", {})
                writer.writerow({**line, "error": error.get("detail", "")})
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / "summary.csv")

    def last(self, source: str, version: Version) -> dict[str, Any]:
        places = self._places.get(source)
        line = self._line_at(places.last) if places is not None else {}
        return line if _is_of(line, version) else {}

    def _remember(self, line: dict[str, Any], place: int) -> None:
        source = line["source"]
        earlier = self._places.get(source)
        imported = earlier.imported if earlier is not None else NOWHERE
        if line.get("status") == "imported":
            imported = place
        self._places[source] = _Places(place, imported)

    def _line_at(self, place: int) -> dict[str, Any]:
        raw = b""
        while not raw.endswith(b"\n"):
            more = os.pread(self._descriptor, LINE_BYTES, place + len(raw))
            if not more:
                break
            line, end, _ = more.partition(b"\n")
            raw += line + end
        line_read: dict[str, Any] = json.loads(raw)
        return line_read

    def _read(self) -> None:
        """The last line of each source; one that a crash tore off says nothing."""
        whole = True
        following = 0
        with (self._folder / "report.jsonl").open("rb") as file:
            for raw in file:
                place, following = following, following + len(raw)
                whole = raw.endswith(b"\n")
                try:
                    self._remember(json.loads(raw), place)
                except (ValueError, KeyError, TypeError):
                    continue
        if not whole:
            os.write(self._descriptor, b"\n")


def _is_of(line: dict[str, Any], version: Version) -> bool:
    return (line.get("size"), line.get("mark")) == (version.size, version.mark)
