"""Contents of uploads: small ones in memory, large files and streams in chunks.

A file is hashed before it is sent. That reads a large file twice, and is worth it: the
server can refuse what differs and keeps nothing. Comparing afterwards would find out when
the bytes are stored, and under retention nobody may delete them any more. A file that is
written to while it is sent is found this way too. A stream that cannot be rewound is the
exception: its digest is compared with the answer.
"""

import errno
import hashlib
import io
import os
import stat
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from artstore.core.errors import SizeMismatch

SMALL_BYTES_MAX: Final = 1 << 20
"""Up to here a file is read once and sent from memory."""

CHUNK_BYTES: Final = 256 * 1024

Source: TypeAlias = Path | str | bytes | BinaryIO


class MemoryBody:
    """Many bytes of the caller, sent in chunks so that nothing waits for all of them."""

    rewindable = True

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.sha256 = hashlib.sha256(content).digest()
        self.size_bytes: int | None = len(content)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), CHUNK_BYTES):
            yield self._content[start : start + CHUNK_BYTES]


class FileBody:
    """A regular file, sent as long as it was when it was opened for hashing."""

    rewindable = True

    def __init__(self, path: Path) -> None:
        self._path = path
        digest = hashlib.sha256()
        size_bytes = 0
        with open_regular(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
        self.sha256 = digest.digest()
        self.size_bytes: int | None = size_bytes

    def chunks(self) -> Iterator[bytes]:
        """Raises `SizeMismatch` when the file has become shorter."""
        left_bytes = self.size_bytes or 0
        with open_regular(self._path) as file:
            while left_bytes:
                chunk = file.read(min(CHUNK_BYTES, left_bytes))
                if not chunk:
                    raise SizeMismatch(f"{self._path.name} became shorter while it was sent")
                left_bytes -= len(chunk)
                yield chunk


class StreamBody:
    """A binary stream from where it stands to its end, hashed on the way."""

    size_bytes: int | None = None

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.rewindable = stream.seekable()
        self._start = stream.tell() if self.rewindable else 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        """Of what was sent in the last attempt."""
        return self._digest.digest()

    def chunks(self) -> Iterator[bytes]:
        self._digest = hashlib.sha256()
        if self.rewindable:
            self._stream.seek(self._start)
        while chunk := self._stream.read(CHUNK_BYTES):
            if not isinstance(chunk, bytes):
                raise TypeError("a text stream has no bytes of its own: open it in mode 'rb'")
            self._digest.update(chunk)
            yield chunk


Content: TypeAlias = bytes | MemoryBody | FileBody | StreamBody


def open_content(source: Source) -> Content:
    """Blocking: reads and hashes what is longer than `SMALL_BYTES_MAX`.

    Raises:
        OSError: The file cannot be read.
    """
    match source:
        case bytes():
            return source if len(source) <= SMALL_BYTES_MAX else MemoryBody(source)
        case str() | Path():
            return _file_content(Path(source))
        case _:
            return StreamBody(source)


def _file_content(path: Path) -> Content:
    with open_regular(path) as file:
        # One byte more tells a file that is just small enough from one that is too large.
        head = _read_at_most(file, SMALL_BYTES_MAX + 1)
    return head if len(head) <= SMALL_BYTES_MAX else FileBody(path)


def open_regular(path: str | Path, *, follow_symlinks: bool = True) -> io.FileIO:
    """Open for reading; never waits, as for the other end of a pipe.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags if follow_symlinks else flags | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return io.FileIO(descriptor)


def _read_at_most(file: io.FileIO, size_bytes: int) -> bytes:
    parts = []
    left_bytes = size_bytes
    while left_bytes and (part := file.read(left_bytes)):
        parts.append(part)
        left_bytes -= len(part)
    return b"".join(parts)


def repr_digest(sha256: bytes) -> str:
    """The header's value, RFC 9530."""
    return f"sha-256=:{b64encode(sha256).decode()}:"
