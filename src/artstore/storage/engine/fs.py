"""Access to the volume: the few calls the engine makes, so that tests can make them fail.

Every call blocks. None retries. `OSError` passes through: the caller knows what it means.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750

NO_ROOM_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Volume(NamedTuple):
    """Bytes of the volume, and how many files it can still take."""

    total: int
    used: int
    free: int
    files_free: int


class Fs(Protocol):
    """Paths are absolute text, handles are numbers.

    Nothing is durable until `flush` (content and size of one file), `flush_directory`
    (names in one directory) or `flush_volume` (everything) has returned.
    """

    def create(self, path: str) -> int:
        """A new, empty file, open for reading and writing; `FileExistsError` if taken."""
        ...

    def open(self, path: str, *, writable: bool = False) -> int: ...

    def close(self, handle: int) -> None: ...

    def write(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        """How many bytes were taken; may be fewer than given. See `write_all`."""
        ...

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""
        ...

    def size(self, handle: int) -> int: ...

    def flush(self, handle: int) -> None:
        """After a failure nobody knows what is on the disk: never call it again to make sure."""
        ...

    def start_writeback(self, handle: int, offset: int, size: int) -> None:
        """Advice: begin to write this range, it will be flushed soon."""
        ...

    def forget(self, handle: int) -> None:
        """Drop clean pages of the file from memory, so that `read` asks the disk."""
        ...

    def exists(self, path: str) -> bool: ...

    def names(self, path: str) -> Iterator[str]:
        """Entries of a directory, in no order; as many as there are, one at a time."""
        ...

    def link(self, source: str, target: str) -> None:
        """A second name for a file; `FileExistsError` if the name is taken."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Replaces `target`."""
        ...

    def unlink(self, path: str) -> None: ...

    def make_directory(self, path: str) -> None: ...

    def flush_directory(self, path: str) -> None: ...

    def flush_volume(self, handle: int) -> None:
        """Everything on the volume of the open directory `handle`. Reports failures of
        write-back that happened since the handle was opened."""
        ...

    def open_directory(self, path: str) -> int: ...

    def lock(self, path: str) -> int:
        """Hold a lock file until the handle is closed; `BlockingIOError` if others hold it."""
        ...

    def volume(self, path: str) -> Volume: ...


class LocalFs:
    """The real one."""

    def __init__(self) -> None:
        # Python has no os.syncfs; os.sync would flush other volumes too and report nothing.
        self._libc = ctypes.CDLL(None, use_errno=True)

    def create(self, path: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, FILE_MODE)

    def open(self, path: str, *, writable: bool = False) -> int:
        access = os.O_RDWR if writable else os.O_RDONLY
        return os.open(path, access | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self, handle: int) -> None:
        os.close(handle)

    def write(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        return os.pread(handle, size, offset)

    def size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def flush(self, handle: int) -> None:
        os.fdatasync(handle)

    def start_writeback(self, handle: int, offset: int, size: int) -> None:
        # DONTNEED starts write-back of dirty pages and drops clean ones; a large file would
        # push everything else out of memory, and nobody reads it soon.
        os.posix_fadvise(handle, offset, size, os.POSIX_FADV_DONTNEED)

    def forget(self, handle: int) -> None:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def exists(self, path: str) -> bool:
        try:
            os.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def names(self, path: str) -> Iterator[str]:
        with os.scandir(path) as entries:
            for entry in entries:
                yield entry.name

    def link(self, source: str, target: str) -> None:
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)  # noqa: PTH105  paths are text here: a Path costs more than the call

    def unlink(self, path: str) -> None:
        os.unlink(path)  # noqa: PTH108

    def make_directory(self, path: str) -> None:
        os.mkdir(path, DIRECTORY_MODE)  # noqa: PTH102

    def flush_directory(self, path: str) -> None:
        handle = self.open_directory(path)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def flush_volume(self, handle: int) -> None:
        if self._libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def open_directory(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def lock(self, path: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(path, flags, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle

    def volume(self, path: str) -> Volume:
        stat = os.statvfs(path)
        total = stat.f_blocks * stat.f_frsize
        used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
        return Volume(total, used, stat.f_bavail * stat.f_frsize, stat.f_favail)


def write_all(fs: Fs, handle: int, data: bytes | memoryview, offset: int) -> None:
    """The kernel may take less than it is given; go on until it has everything."""
    written = fs.write(handle, data, offset)
    while written < len(data):
        written += fs.write(handle, data[written:], offset + written)


def read_file(fs: Fs, path: str, *, from_disk: bool = False) -> bytes:
    """A whole, small file. `from_disk`: not what memory believes it to be."""
    handle = fs.open(path)
    try:
        if from_disk:
            fs.forget(handle)
        return fs.read(handle, fs.size(handle), 0)
    finally:
        fs.close(handle)


def make_directories(fs: Fs, path: str) -> list[str]:
    """Like `mkdir -p`. Returns the directories that were made, the outermost first."""
    missing: list[str] = []
    while not fs.exists(path):
        missing.append(path)
        path = path.rpartition("/")[0] or "/"
    missing.reverse()
    for directory in missing:
        fs.make_directory(directory)
    return missing
