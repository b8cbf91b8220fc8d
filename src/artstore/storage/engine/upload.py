"""A large file on its way in: written to tmp/ while it is hashed."""

import contextlib
import errno
import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from artstore.core.errors import ArtStoreError, NoRoom, Unavailable
from artstore.core.model.ids import FileId
from artstore.storage.engine.backends.base import Promises
from artstore.storage.engine.fs import NO_ROOM_ERRORS, Fs, write_all
from artstore.storage.engine.layout import Layout

WRITEBACK_BYTES: Final = 8 << 20
"""Handed to the disk at once, so that the flush at the end finds little left to do."""

_BUSY_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Too much at once; the volume itself is well."""


class Upload:
    """One thread at a time. Ends with `finish` or `abort`."""

    def __init__(
        self,
        fs: Fs,
        layout: Layout,
        room: Promises,
        fail: Callable[[str, Exception], None],
        *,
        file_id: FileId,
        size: int | None,
    ) -> None:
        """
        Args:
            fail: Told when the volume fails, not just fills.
            size: Bytes that will come, if the sender says so.

        Raises:
            NoRoom: They do not fit.
        """
        self._fs = fs
        self._layout = layout
        self._room = room
        self._fail = fail
        self._promised = size or 0
        self._digest = hashlib.sha256()
        self.name = staged_name(file_id)
        self.file_id = file_id
        self.size = 0
        room.promise(self._promised)
        try:
            self._handle = fs.create(layout.staged(self.name))
        except OSError as error:
            room.release(self._promised)
            raise failure_of(error, self._fail) from error
        self._is_open = True

    def write(self, data: bytes) -> None:
        """Raises:
        NoRoom, Unavailable: The volume is full or failed; `abort` then.
        """
        end = self.size + len(data)
        try:
            write_all(self._fs, self._handle, data, self.size)
            if end // WRITEBACK_BYTES > self.size // WRITEBACK_BYTES:
                start = self.size // WRITEBACK_BYTES * WRITEBACK_BYTES
                self._fs.start_writeback(self._handle, start, end - start)
                # Of an unknown length, or others fill the volume meanwhile.
                self._room.check(0)
        except OSError as error:
            raise failure_of(error, self._fail) from error
        self._digest.update(data)
        self.size = end
        self._keep_promise(len(data))

    def finish(self) -> str:
        """Make content and name in tmp/ durable. Returns the SHA-256 in hex."""
        try:
            self._fs.flush(self._handle)
        except OSError as error:
            # Never flushed again, whatever the cause: pages may be gone.
            self._fail("an uploaded file cannot be flushed", error)
            raise Unavailable("the volume of the storage element failed") from error
        finally:
            self._close()
        flush_staged_name(self._fs, self._layout, self._fail)
        return self._digest.hexdigest()

    def abort(self) -> None:
        """Leave nothing behind."""
        self._close()
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(self._layout.staged(self.name))

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._keep_promise(self._promised)
            self._fs.close(self._handle)

    def _keep_promise(self, written: int) -> None:
        kept = min(written, self._promised)
        self._promised -= kept
        self._room.release(kept)


class Adopted:
    """Implements `Incoming` for bytes that lie whole and durable on the volume: a second name
    in tmp/, so that neither a crash nor a refusal can take the first one's bytes away."""

    def __init__(
        self,
        fs: Fs,
        layout: Layout,
        fail: Callable[[str, Exception], None],
        *,
        path: str,
        file_id: FileId,
        sha256: str,
    ) -> None:
        """Raises `Unavailable`, `NoRoom`."""
        self._fs = fs
        self._layout = layout
        self._fail = fail
        self._sha256 = sha256
        self.file_id = file_id
        self.name = staged_name(file_id)
        try:
            fs.link(path, layout.staged(self.name))
            handle = fs.open(path)
            self.size = fs.size(handle)
            fs.close(handle)
        except OSError as error:
            raise failure_of(error, fail) from error

    def write(self, data: bytes) -> None:
        raise AssertionError("it is whole")

    def finish(self) -> str:
        flush_staged_name(self._fs, self._layout, self._fail)
        return self._sha256

    def abort(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(self._layout.staged(self.name))


def staged_name(file_id: FileId) -> str:
    """One of its own for each attempt: that of an earlier one may still be needed."""
    return f"{file_id}.{secrets.token_hex(4)}"


def flush_staged_name(fs: Fs, layout: Layout, fail: Callable[[str, Exception], None]) -> None:
    """The log will point at a name in tmp/: it must not be lost while the record is not."""
    try:
        fs.flush_directory(layout.staging)
    except OSError as error:
        # Never flushed again, whatever the cause: pages may be gone.
        fail("an uploaded file cannot be flushed", error)
        raise Unavailable("the volume of the storage element failed") from error


def failure_of(error: OSError, fail: Callable[[str, Exception], None]) -> ArtStoreError:
    if error.errno in NO_ROOM_ERRORS:
        return NoRoom("the storage element is full")
    if error.errno in _BUSY_ERRORS:
        return Unavailable("the storage element is busy")
    fail("an uploaded file cannot be written", error)
    return Unavailable("the volume of the storage element failed")
