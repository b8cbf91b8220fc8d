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
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from artstore.core.errors import DigestMismatch, SizeMismatch

SMALL_BYTES_MAX: Final = 1 << 20
"""Up to here a file is read once and sent from memory."""

CHUNK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A regular file that was looked at before, and is read only if it is still that one.

    Whoever may write into a tree could put a link in the place of a file, or of a folder above
    it, and have another file stored than the one that was chosen.
    """

    path: str
    device: int
    inode: int
    mtime_ns: int | None = None
    """If it must not have been written to since either."""
    follow_symlinks: bool = False


class MemoryBody:
    """Many bytes of the caller, sent in chunks so that nothing waits for all of them."""

    rewindable = True

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.sha256 = hashlib.sha256(content).digest()
        self.size_bytes: int | None = len(content)

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        for start in range(offset, len(self._content), CHUNK_BYTES):
            yield self._content[start : start + CHUNK_BYTES]


class FileBody:
    """A regular file, sent as long as it was when it was opened for hashing."""

    rewindable = True

    def __init__(self, file_of: Path | SeenFile) -> None:
        self._file_of = file_of
        digest = hashlib.sha256()
        size_bytes = 0
        with _open(file_of) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
        self.sha256 = digest.digest()
        self.size_bytes: int | None = size_bytes

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Raises `SizeMismatch` when the file has become shorter."""
        left_bytes = (self.size_bytes or 0) - offset
        with _open(self._file_of) as file:
            file.seek(offset)
            while left_bytes:
                chunk = file.read(min(CHUNK_BYTES, left_bytes))
                if not chunk:
                    raise SizeMismatch(f"{_name(self._file_of)} became shorter while it was sent")
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
Source: TypeAlias = Path | str | bytes | BinaryIO | SeenFile | FileBody


def open_content(source: Source) -> Content:
    """Blocking: reads and hashes what is longer than `SMALL_BYTES_MAX`.

    Raises:
        OSError: The file cannot be read.
        DigestMismatch: It was changed meanwhile.
    """
    match source:
        case FileBody():
            return source
        case bytes():
            return source if len(source) <= SMALL_BYTES_MAX else MemoryBody(source)
        case str() | Path():
            return _file_content(Path(source))
        case SeenFile():
            return _file_content(source)
        case _:
            return StreamBody(source)


def _file_content(file_of: Path | SeenFile) -> Content:
    with _open(file_of) as file:
        # One byte more tells a file that is just small enough from one that is too large.
        head = read_unchanged(file, SMALL_BYTES_MAX + 1)
    return head if len(head) <= SMALL_BYTES_MAX else FileBody(file_of)


def _open(file_of: Path | SeenFile) -> io.FileIO:
    return open_seen(file_of) if isinstance(file_of, SeenFile) else open_regular(file_of)


def _name(file_of: Path | SeenFile) -> str:
    return Path(file_of.path if isinstance(file_of, SeenFile) else file_of).name


def open_seen(seen: SeenFile) -> io.FileIO:
    """
    Raises:
        OSError: It cannot be opened, or something else has its name now.
        DigestMismatch: It was written to.
    """
    file = open_regular(seen.path, follow_symlinks=seen.follow_symlinks)
    status = os.fstat(file.fileno())
    if (status.st_dev, status.st_ino) != (seen.device, seen.inode):
        file.close()
        raise OSError(errno.ESTALE, "something else took its place meanwhile", seen.path)
    if seen.mtime_ns not in (None, status.st_mtime_ns):
        file.close()
        raise DigestMismatch("the file was changed while it was read")
    return file


def open_regular(path: str | Path, *, follow_symlinks: bool = True) -> io.FileIO:
    """Open for reading; never waits, as for the other end of a pipe.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags if follow_symlinks else flags | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow_symlinks:
            reason = "a symbolic link took its place meanwhile"
            raise OSError(errno.ELOOP, reason, str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return io.FileIO(descriptor)


def read_unchanged(file: io.FileIO, size_bytes: int) -> bytes:
    """At most `size_bytes`, as they were at one moment.

    Raises:
        DigestMismatch: The file was written to while it was read.
    """
    before = os.fstat(file.fileno())
    content = _read_at_most(file, size_bytes)
    after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DigestMismatch("the file was changed while it was read")
    return content


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
