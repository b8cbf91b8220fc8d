"""Uploads that come in parts: what a client sent waits here until it is whole.

    uploads/<file id>        the bytes; only those up to the offset count
    uploads/<file id>.json   the offset, and what the file is to become

Bytes are flushed before the offset says that they count, so what a client was told survives a
power cut; whatever lies behind the offset is written over by the next part. All of it is on
this volume alone: any ingester can go on, and no database has to be asked.

Nothing here is a file of the element. `Engine.adopt_upload` makes one of it, as a whole.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from artstore.core.clock import Clock
from artstore.core.errors import (
    ArtStoreError,
    OffsetConflict,
    SizeMismatch,
    Unavailable,
    UnknownUpload,
    UploadBusy,
)
from artstore.core.logging import get_logger
from artstore.core.model.file import FileDraft
from artstore.core.model.ids import FileId, is_file_id
from artstore.storage.engine.capacity import Room
from artstore.storage.engine.durable_file import replace_file
from artstore.storage.engine.fs import Fs, make_directories, read_file, write_all
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.open_upload import OpenUpload, RunningDigest
from artstore.storage.engine.upload import WRITEBACK_BYTES, failure_of

UPLOADS_MAX: Final = 10_000
"""Open at a time: each holds two inodes and a promise of room."""

READ_BYTES: Final = 1 << 20
_STATE: Final = ".json"


class OpenUploads:
    """Safe to share between threads; each upload is written by one at a time.

    Args:
        fail: Told when the volume fails, not just fills.
    """

    def __init__(
        self,
        fs: Fs,
        layout: Layout,
        room: Room,
        clock: Clock,
        fail: Callable[[str, Exception], None],
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._room = room
        self._clock = clock
        self._fail = fail
        self._lock = threading.Lock()
        self._busy: set[FileId] = set()
        self._missing_bytes: dict[FileId, int] = {}
        """What each one was promised room for and has not sent."""
        self._digests: dict[FileId, RunningDigest] = {}
        self._recover()

    def create(self, file_id: FileId, draft: FileDraft, size: int, expires_at: datetime) -> None:
        """Durable on return.

        Raises:
            NoRoom: `size` bytes do not fit beside what others were promised.
            Unavailable: Too many are open, or the volume failed.
        """
        upload = OpenUpload(
            file_id=file_id, size=size, offset=0, expires_at=expires_at, draft=draft
        )
        with self._lock:
            if len(self._missing_bytes) >= UPLOADS_MAX:
                raise Unavailable("too many uploads are open here", retry_after_s=60)
            self._room.promise(size)
            self._missing_bytes[file_id] = size
        try:
            with self._named_failures():
                for made in make_directories(self._fs, self._layout.uploads):
                    self._fs.flush_directory(made.rpartition("/")[0])
                self._fs.close(self._fs.create(self._layout.open_upload(file_id)))
                self._store(upload)
        except BaseException:
            self._forget(file_id)
            raise
        self._digests[file_id] = RunningDigest()

    def find(self, file_id: FileId) -> OpenUpload:
        """Raises `UnknownUpload`: there is none, or it has expired."""
        try:
            upload = self._load(file_id)
        except (FileNotFoundError, ValidationError):
            raise UnknownUpload from None
        if upload.expires_at <= self._clock.now():
            raise UnknownUpload
        return upload

    def begin_part(self, file_id: FileId, offset: int) -> "Part":
        """The next bytes; ends with `keep` or `drop`.

        Raises:
            UploadBusy: Somebody is writing it.
            OffsetConflict: The bytes that count end elsewhere.
            UnknownUpload.
        """
        self._claim(file_id)
        try:
            upload = self.find(file_id)
            _check_offset(upload, offset)
            with self._named_failures():
                handle = self._fs.open(self._layout.open_upload(file_id), writable=True)
        except BaseException:
            self._release(file_id)
            raise
        return Part(self, self._fs, upload, handle)

    def read(self, file_id: FileId, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes that count, in blocks, from byte `start` to before `stop`."""
        offset = self.find(file_id).offset
        end = offset if stop is None else min(stop, offset)
        handle = self._fs.open(self._layout.open_upload(file_id))
        try:
            for at in range(start, end, READ_BYTES):
                yield self._fs.read(handle, min(READ_BYTES, end - at), at)
        finally:
            self._fs.close(handle)

    @contextlib.contextmanager
    def whole(self, file_id: FileId) -> Iterator[tuple[OpenUpload, str]]:
        """The upload and its SHA-256; nobody else writes it meanwhile, and if nothing is
        raised it is over and its bytes are removed.

        Raises:
            SizeMismatch: There are still bytes to come.
            UploadBusy, UnknownUpload.
        """
        self._claim(file_id)
        try:
            upload = self.find(file_id)
            if not upload.is_whole:
                raise SizeMismatch(f"{upload.offset} of {upload.size} bytes came so far")
            yield upload, self._sha256(upload)
            self._remove(file_id)
        finally:
            self._release(file_id)

    def remove(self, file_id: FileId) -> None:
        """Raises `UploadBusy`, `UnknownUpload`."""
        self._claim(file_id)
        try:
            if not self._fs.exists(self._state_path(file_id)):
                raise UnknownUpload
            self._remove(file_id)
        finally:
            self._release(file_id)

    def remove_expired(self) -> int:
        """Returns how many there were."""
        removed = 0
        for file_id in list(self._missing_bytes):
            with contextlib.suppress(UploadBusy, UnknownUpload):
                if self._is_expired(file_id):
                    self.remove(file_id)
                    removed += 1
        return removed

    # --- of `Part` --------------------------------------------------------------------

    def kept(self, upload: OpenUpload, written: int, expires_at: datetime) -> OpenUpload:
        """The flushed bytes count from now on."""
        kept = upload.model_copy(
            update={"offset": upload.offset + written, "expires_at": expires_at}
        )
        with self._named_failures():
            self._store(kept)
        with self._lock:
            self._missing_bytes[upload.file_id] = kept.size - kept.offset
        self._room.release(written)
        return kept

    def ended(self, part: "Part") -> None:
        self._release(part.upload.file_id)

    def digest_at(self, file_id: FileId, offset: int) -> RunningDigest | None:
        """A copy of what was hashed so far; `None` if this process does not know all of it."""
        digest = self._digests.get(file_id)
        return digest.copy() if digest is not None and digest.size == offset else None

    def remember(self, file_id: FileId, digest: RunningDigest | None) -> None:
        if digest is not None:
            self._digests[file_id] = digest

    # --- inside -----------------------------------------------------------------------

    def _recover(self) -> None:
        """What an earlier process left. Sizes come from states; bytes without one go."""
        if not self._fs.exists(self._layout.uploads):
            return
        names = set(self._fs.names(self._layout.uploads))
        for name in names:
            file_id = FileId(name.removesuffix(_STATE))
            if {file_id, file_id + _STATE} <= names and is_file_id(file_id):
                self._recover_one(file_id)
            else:
                # Never acknowledged, or over: one of the two is missing.
                self._fs.unlink(f"{self._layout.uploads}/{name}")

    def _recover_one(self, file_id: FileId) -> None:
        try:
            upload = self._load(file_id)
        except ValidationError as error:
            get_logger().error("unfinished upload unreadable", file_id=file_id, cause=repr(error))
            return
        missing_bytes = upload.size - upload.offset
        self._missing_bytes[file_id] = missing_bytes
        self._room.promise_again(missing_bytes)

    def _load(self, file_id: FileId) -> OpenUpload:
        return OpenUpload.model_validate_json(read_file(self._fs, self._state_path(file_id)))

    def _is_expired(self, file_id: FileId) -> bool:
        try:
            self.find(file_id)
        except UnknownUpload:
            return True
        return False

    def _sha256(self, upload: OpenUpload) -> str:
        """Hashed on the way in; after a restart from the disk."""
        digest = self._digests.get(upload.file_id) or RunningDigest()
        if digest.size != upload.size:
            digest = RunningDigest()
            for block in self.read(upload.file_id):
                digest.update(block)
            self._digests[upload.file_id] = digest
        return digest.hexdigest()

    def _store(self, upload: OpenUpload) -> None:
        document = upload.model_dump_json(indent=2).encode() + b"\n"
        replace_file(self._fs, self._state_path(upload.file_id), document)

    def _state_path(self, file_id: FileId) -> str:
        return self._layout.open_upload(file_id) + _STATE

    def _remove(self, file_id: FileId) -> None:
        self._delete_files(file_id)
        self._forget(file_id)

    def _delete_files(self, file_id: FileId) -> None:
        # The state first: bytes without one are dropped by the next start.
        for path in (self._state_path(file_id), self._layout.open_upload(file_id)):
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(path)

    def _forget(self, file_id: FileId) -> None:
        with self._lock:
            missing_bytes = self._missing_bytes.pop(file_id, 0)
        self._digests.pop(file_id, None)
        self._room.release(missing_bytes)

    def _claim(self, file_id: FileId) -> None:
        with self._lock:
            if file_id in self._busy:
                raise UploadBusy("this upload is being written", retry_after_s=1)
            self._busy.add(file_id)

    def _release(self, file_id: FileId) -> None:
        with self._lock:
            self._busy.discard(file_id)

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.failure(error) from error

    def failure(self, error: OSError) -> ArtStoreError:
        return failure_of(error, self._fail)


def _check_offset(upload: OpenUpload, offset: int) -> None:
    if upload.offset != offset:
        raise OffsetConflict(f"the upload goes on at {upload.offset}", offset=upload.offset)


class Part:
    """Bytes that are added to an upload. One thread at a time; ends with `keep` or `drop`."""

    def __init__(self, uploads: OpenUploads, fs: Fs, upload: OpenUpload, handle: int) -> None:
        self._uploads = uploads
        self._fs = fs
        self._handle = handle
        self._digest = uploads.digest_at(upload.file_id, upload.offset)
        self.upload = upload
        self.written = 0

    def write(self, data: bytes) -> None:
        """Raises:
        SizeMismatch: More comes than was announced.
        NoRoom, Unavailable: The volume is full or failed; `keep` what came before.
        """
        start = self.upload.offset + self.written
        if start + len(data) > self.upload.size:
            raise SizeMismatch(f"the upload was to have {self.upload.size} bytes")
        try:
            write_all(self._fs, self._handle, data, start)
            end = start + len(data)
            if end // WRITEBACK_BYTES > start // WRITEBACK_BYTES:
                begin = start // WRITEBACK_BYTES * WRITEBACK_BYTES
                self._fs.start_writeback(self._handle, begin, end - begin)
        except OSError as error:
            raise self._uploads.failure(error) from error
        if self._digest is not None:
            self._digest.update(data)
        self.written += len(data)

    def keep(self, expires_at: datetime) -> OpenUpload:
        """What was written counts, and is durable on return."""
        try:
            if not self.written:
                return self.upload
            try:
                self._fs.flush(self._handle)
            except OSError as error:
                raise self._uploads.failure(error) from error
            kept = self._uploads.kept(self.upload, self.written, expires_at)
            self._uploads.remember(kept.file_id, self._digest)
            return kept
        finally:
            self.drop()

    def drop(self) -> None:
        """What was written since the last `keep` does not count."""
        if self._handle >= 0:
            self._fs.close(self._handle)
            self._handle = -1
            self._uploads.ended(self)
