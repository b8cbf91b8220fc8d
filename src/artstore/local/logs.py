"""Log files of the stack's processes: appended to, and changed for a new one when full."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from artstore.core.clock import Clock

FILE_BYTES_MAX: Final = 32 << 20
OLD_FILES_MAX: Final = 3
_TAIL_BYTES: Final = 4096


class RotatingLog:
    """`<name>.log`, then `<name>.log.1` (newest) to `.3`.

    A disk that is full costs lines of the log, never the service that writes them.
    """

    def __init__(self, path: Path, bytes_max: int = FILE_BYTES_MAX) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        try:
            file = self._file or self._open()
            file.write(data)
            # Only behind a whole line, so that every file can be read alone.
            if file.tell() >= self._bytes_max and data.endswith(b"\n"):
                self._rotate()
        except OSError:
            self.close()

    def tail(self, lines: int) -> list[str]:
        try:
            with self.path.open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                return file.read().decode("utf-8", "replace").splitlines()[-lines:]
        except FileNotFoundError:
            return []

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        # Unbuffered: what a process said before it died is in the file.
        self._file = self.path.open("ab", buffering=0)
        self.path.chmod(0o600)
        return self._file

    def _rotate(self) -> None:
        self.close()
        for number in range(OLD_FILES_MAX, 0, -1):
            older = self._numbered(number - 1) if number > 1 else self.path
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class EventLog:
    """The supervisor's own events, one JSON object a line, as the modules write theirs."""

    def __init__(self, log: RotatingLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def close(self) -> None:
        self._log.close()

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        moment = self._clock.now().astimezone(UTC)
        line = {"timestamp": _rfc3339(moment), "level": level, "event": event, **fields}
        self._log.write(json.dumps(line, default=str).encode() + b"\n")


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
