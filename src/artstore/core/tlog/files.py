"""The calls to the disk that a log in a folder makes, so that tests can make each one fail.

Every call blocks. None retries. `OSError` passes through.
"""

import fcntl
import os
from collections.abc import Iterator
from typing import Protocol

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750


class Files(Protocol):
    """Paths are absolute text, handles are numbers.

    Nothing is durable until `flush` (one file's content) or `flush_directory` (the names in
    one directory) has returned.
    """

    def create(self, path: str) -> int:
        """A new, empty file to write; `FileExistsError` if the name is taken."""
        ...

    def open(self, path: str) -> int: ...

    def close(self, handle: int) -> None: ...

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """How many bytes were taken; may be fewer than given."""
        ...

    def read(self, handle: int, size: int, offset: int) -> bytes: ...

    def size(self, handle: int) -> int: ...

    def flush(self, handle: int) -> None: ...

    def exists(self, path: str) -> bool: ...

    def names(self, path: str) -> Iterator[str]: ...

    def link(self, source: str, target: str) -> None:
        """A second name; unlike `rename` it never replaces: `FileExistsError`."""
        ...

    def rename(self, source: str, target: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def make_directory(self, path: str) -> None: ...

    def remove_directory(self, path: str) -> None:
        """It must be empty."""
        ...

    def flush_directory(self, path: str) -> None: ...

    def lock(self, path: str) -> int:
        """Hold a lock file until the handle is closed; `BlockingIOError` if others hold it."""
        ...


class LocalFiles:
    """The real ones."""

    def create(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, FILE_MODE)

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self, handle: int) -> None:
        os.close(handle)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        return os.pread(handle, size, offset)

    def size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def flush(self, handle: int) -> None:
        os.fsync(handle)

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def names(self, path: str) -> Iterator[str]:
        with os.scandir(path) as entries:
            for entry in entries:
                yield entry.name

    def link(self, source: str, target: str) -> None:
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)  # noqa: PTH105  paths are text here, as in all of this class

    def unlink(self, path: str) -> None:
        os.unlink(path)  # noqa: PTH108

    def make_directory(self, path: str) -> None:
        os.mkdir(path, DIRECTORY_MODE)  # noqa: PTH102

    def remove_directory(self, path: str) -> None:
        os.rmdir(path)  # noqa: PTH106

    def flush_directory(self, path: str) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def lock(self, path: str) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle


def read_file(files: Files, path: str) -> bytes:
    """A whole file, in memory."""
    handle = files.open(path)
    try:
        return files.read(handle, files.size(handle), 0)
    finally:
        files.close(handle)


def write_new_file(files: Files, path: str, data: bytes) -> None:
    """A new file with its content flushed; its name is not durable yet."""
    handle = files.create(path)
    try:
        written = 0
        while written < len(data):
            written += files.write(handle, data[written:], written)
        files.flush(handle)
    finally:
        files.close(handle)
