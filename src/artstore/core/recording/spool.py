"""Lines that outlive a crash until somebody else has taken them over. A bounded queue on disk.

    <folder>/lock                     held by the one process that uses it
    <folder>/<number>.lines           a line each: CRC32C in 8 hex digits, a space, the line

Appending is durable when it returns. A file is taken as a whole, from the oldest on, and removed
when its lines were taken over; a crash in between tells them again, so whoever takes them must
know them again. Blocking; safe to share between threads.
"""

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import google_crc32c

from artstore.core.tlog.files import LocalFiles

SEGMENT_BYTES: Final = 1 << 20
"""What is taken over at once, at most, but for the last append."""
BYTES_MAX: Final = 64 << 20
"""About 60,000 events: an hour of 16 downloads a second without the admin module."""
_SUFFIX: Final = ".lines"
_MODE: Final = 0o600
_FILES: Final = LocalFiles()


class SpoolFull(Exception):
    """So much waits that nothing more is taken."""


@dataclass(frozen=True)
class Segment:
    path: Path
    lines: tuple[bytes, ...]
    damaged: int
    """Lines that cannot be read any more."""


class Spool:
    def __init__(self, folder: Path, bytes_max: int = BYTES_MAX) -> None:
        """
        Raises:
            OSError: The folder cannot be used, or another process uses it (`BlockingIOError`).
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._bytes_max = bytes_max
        self._mutex = threading.Lock()
        self._lock = _FILES.lock(str(folder / "lock"))
        self._sizes = {path: path.stat().st_size for path in folder.glob(f"*{_SUFFIX}")}
        self._next = max((_number(path) for path in self._sizes), default=0) + 1
        self._open: tuple[Path, int] | None = None
        """The file that is appended to, and its handle."""

    @property
    def size_bytes(self) -> int:
        with self._mutex:
            return sum(self._sizes.values())

    def append(self, lines: Sequence[bytes]) -> None:
        """Durable on return. `lines` hold no line break.

        Raises:
            SpoolFull: They do not fit; nothing was kept.
            OSError: The disk failed; whether they are kept is not known.
        """
        data = b"".join(b"%08x %b\n" % (google_crc32c.value(line), line) for line in lines)
        with self._mutex:
            if sum(self._sizes.values()) + len(data) > self._bytes_max:
                raise SpoolFull
            path, handle = self._open or self._begin()
            try:
                _write(handle, data)
                os.fdatasync(handle)
            except OSError:
                # What was refused must not be told later, as far as the disk still obeys; and
                # good lines never follow a torn one.
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, self._sizes[path])
                self._finish()
                raise
            self._sizes[path] += len(data)
            if self._sizes[path] >= SEGMENT_BYTES:
                self._finish()

    def oldest(self) -> Segment | None:
        """What waits longest; nothing is added to it any more. `None`: nothing waits."""
        with self._mutex:
            if not self._sizes:
                return None
            path = min(self._sizes, key=_number)
            if self._open is not None and self._open[0] == path:
                self._finish()
        return _read(path)

    def remove(self, segment: Segment) -> None:
        """Its lines were taken over."""
        with self._mutex:
            segment.path.unlink(missing_ok=True)
            self._sizes.pop(segment.path, None)

    def close(self) -> None:
        with self._mutex:
            self._finish()
            os.close(self._lock)

    def _begin(self) -> tuple[Path, int]:
        path = self._folder / f"{self._next:012}{_SUFFIX}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        self._next += 1
        try:
            # Without its name, nothing in the file would outlive a power cut.
            _FILES.flush_directory(str(self._folder))
        except OSError:
            os.close(handle)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._sizes[path] = 0
        self._open = (path, handle)
        return self._open

    def _finish(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _read(path: Path) -> Segment:
    *whole, _torn = path.read_bytes().split(b"\n")
    lines = tuple(line for item in whole if (line := _checked(item)) is not None)
    return Segment(path, lines, len(whole) - len(lines))


def _checked(item: bytes) -> bytes | None:
    crc, _, line = item.partition(b" ")
    return line if crc == b"%08x" % google_crc32c.value(line) else None


def _number(path: Path) -> int:
    return int(path.name.removesuffix(_SUFFIX))
