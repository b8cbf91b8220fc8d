"""Destinations of downloads. A file gets its name only after its sha256 was compared."""

import errno
import fcntl
import hashlib
import io
import os
import re
from pathlib import Path
from typing import BinaryIO, Final

from artstore.client.messages import Answer, Progress
from artstore.core.errors import DigestMismatch, InternalError, Unavailable
from artstore.core.new_names import give_new_name

PART_SUFFIX: Final = ".part"
HASH_CHUNK_BYTES: Final = 1 << 20

_ETAG = re.compile(r'"([0-9a-f]{64})"')
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Destination:
    """A sink that goes on where it stopped. All methods but the properties block."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._digest = hashlib.sha256()
        self.offset = 0
        """Bytes of the content that are there."""
        self.size: int | None = None
        """Bytes of the whole content, known with the first answer."""
        self.sha256: str | None = None
        """What the server says the content has."""

    def open(self) -> None:
        """Find out how much is there."""

    def learn(self, answer: Answer) -> int:
        """Take size and digest from an answer; returns the offset where its body starts."""
        etag = _ETAG.fullmatch(answer.headers.get("etag", ""))
        if etag is None:
            raise InternalError("the server does not name the digest of the content")
        if self.sha256 not in (None, etag[1]):
            raise DigestMismatch("the server names another digest than before")
        self.sha256 = etag[1]
        if answer.status == 206:
            content_range = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
            if content_range is None:
                raise InternalError("the server sent a part without saying which")
            self.size = int(content_range[2])
            return int(content_range[1])
        self.size = int(answer.headers.get("content-length", "0"))
        return 0

    def begin(self, answer: Answer) -> None:
        start = self.learn(answer)
        if start == 0:
            self._start_over()
        elif start != self.offset:
            raise InternalError("the server sent another part than was asked for")

    def write(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._keep(chunk)
        self.offset += len(chunk)
        if self._progress is not None:
            self._progress(self.offset, self.size)

    def finish(self) -> Path | None:
        """Compare the digest, then publish.

        Raises:
            DigestMismatch: What arrived is not what was stored; it was discarded.
            Unavailable: The end is missing.
        """
        if self.offset != self.size:
            raise Unavailable("the connection ended before the content did")
        if self._digest.hexdigest() != self.sha256:
            self._discard()
            raise DigestMismatch("what arrived does not have the digest of the stored file")
        return self._publish()

    def close(self) -> None:
        """Release what is held. What has arrived stays, for the next attempt."""

    def _start_over(self) -> None:
        raise NotImplementedError

    def _keep(self, chunk: bytes) -> None:
        raise NotImplementedError

    def _discard(self) -> None:
        raise NotImplementedError

    def _publish(self) -> Path | None:
        raise NotImplementedError


class PathDestination(Destination):
    """A file. Until it is complete it is `<file id>.part` in the same folder.

    The content of a file id never changes, so such a part can be taken up by any later
    process; the digest is compared over all of it.
    """

    def __init__(
        self, path: Path, file_id: str, *, overwrite: bool = True, progress: Progress | None = None
    ) -> None:
        super().__init__(progress)
        self._path = path
        self._part = path.parent / f"{file_id}{PART_SUFFIX}"
        self._overwrite = overwrite
        self._file: io.FileIO | None = None
        self._published = False

    def open(self) -> None:
        if not self._overwrite and os.path.lexists(self._path):
            raise FileExistsError(
                errno.EEXIST, "the file exists; name another place for it", str(self._path)
            )
        self._file = _open_locked(self._part)
        while chunk := self._file.read(HASH_CHUNK_BYTES):
            self._digest.update(chunk)
            self.offset += len(chunk)

    def close(self) -> None:
        if self._file is None:
            return
        if self.offset == 0 and not self._published:
            self._part.unlink(missing_ok=True)
        self._file.close()
        self._file = None

    @property
    def _open_file(self) -> io.FileIO:
        assert self._file is not None, "open() comes first"
        return self._file

    def _start_over(self) -> None:
        self._open_file.seek(0)
        self._open_file.truncate()
        self._digest = hashlib.sha256()
        self.offset = 0

    def _keep(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            view = view[self._open_file.write(view) :]

    def _discard(self) -> None:
        self._start_over()

    def _publish(self) -> Path:
        if self._overwrite:
            self._part.replace(self._path)
        else:
            give_new_name(self._part, self._path)
        self._published = True
        return self._path


class StreamDestination(Destination):
    """A stream that is only ever appended to. What was written cannot be taken back."""

    def __init__(self, stream: BinaryIO, progress: Progress | None = None) -> None:
        super().__init__(progress)
        self._stream = stream
        self._skip_bytes = 0

    def write(self, chunk: bytes) -> None:
        skipped = min(self._skip_bytes, len(chunk))
        self._skip_bytes -= skipped
        if skipped < len(chunk):
            super().write(chunk[skipped:])

    def _start_over(self) -> None:
        self._skip_bytes = self.offset

    def _keep(self, chunk: bytes) -> None:
        self._stream.write(chunk)

    def _discard(self) -> None:
        pass

    def _publish(self) -> None:
        self._stream.flush()


def destination_of(
    destination: Path | str | BinaryIO,
    file_id: str,
    *,
    overwrite: bool,
    progress: Progress | None,
) -> Destination:
    if isinstance(destination, (str, Path)):
        return PathDestination(Path(destination), file_id, overwrite=overwrite, progress=progress)
    return StreamDestination(destination, progress)


def _open_locked(path: Path) -> io.FileIO:
    """The part file, for this process alone.

    Raises:
        BlockingIOError: Another process is downloading the same file to the same folder.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        file = io.FileIO(descriptor, "r+")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_at(file, path):
                return file
        except BlockingIOError:
            file.close()
            raise BlockingIOError(
                errno.EWOULDBLOCK, "another download of this file is under way", str(path)
            ) from None
        # Another process published the part between our opening and our locking it.
        file.close()


def _is_still_at(file: io.FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
