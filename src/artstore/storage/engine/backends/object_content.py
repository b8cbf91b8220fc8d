"""Contents in an object store: read by ranges, received by parts."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from queue import Full, Queue
from typing import Final

import obstore
from obstore.store import ObjectStore

from artstore.core.errors import FileDamaged, NoRoom
from artstore.core.logging import get_logger
from artstore.core.model.ids import FileId
from artstore.storage.engine.backends.base import StoreAway, StoreFull
from artstore.storage.engine.backends.object_failures import reaching

WHOLE_BYTES_MAX: Final = 1 << 20
"""Files up to this size come with the request that opens them."""
READ_AHEAD_BYTES: Final = 8 << 20
PART_BYTES: Final = 8 << 20
PARTS_AT_ONCE: Final = 2
"""So an upload holds about three parts in memory, however slow the store is."""
PARTS_MAX: Final = 9_000
"""Ten thousand is the limit of S3."""
_UNKNOWN_SIZE_PART_BYTES: Final = 16 << 20
"""For a content whose length nobody said: up to 140 GiB."""
_WAIT_S: Final = 0.5


class ObjectContent:
    """Implements `OpenContent`. Reading in order makes few, large requests."""

    def __init__(self, store: ObjectStore, key: str, size: int, beginning: bytes = b"") -> None:
        self._store = store
        self._key = key
        self.size = size
        self._start = 0
        self._block = beginning

    def read(self, size: int, offset: int) -> bytes:
        """Raises:
        FileDamaged: The object became shorter or is gone.
        """
        if not self._start <= offset < self._start + len(self._block):
            self._fetch(size, offset)
        begin = offset - self._start
        return self._block[begin : begin + size]

    def close(self) -> None:
        self._block = b""

    def _fetch(self, size: int, offset: int) -> None:
        in_order = bool(self._block) and offset == self._start + len(self._block)
        length = min(max(size, READ_AHEAD_BYTES) if in_order else size, self.size - offset)
        self._start, self._block = offset, b""
        if length <= 0:
            return
        try:
            with reaching():
                data = obstore.get_range(self._store, self._key, start=offset, length=length)
        except FileNotFoundError as error:
            raise FileDamaged("the content of this file is missing") from error
        self._block = bytes(data)


def open_object(store: ObjectStore, key: str, expected_size: int) -> ObjectContent:
    """Raises `FileNotFoundError`."""
    with reaching():
        if expected_size > WHOLE_BYTES_MAX:
            return ObjectContent(store, key, obstore.head(store, key)["size"])
        result = obstore.get(store, key)
        size = result.meta["size"]
        # Of another length than expected it is not read: the caller refuses it.
        return ObjectContent(
            store, key, size, bytes(result.bytes()) if size == expected_size else b""
        )


def part_bytes(size: int | None) -> int:
    if size is None:
        return _UNKNOWN_SIZE_PART_BYTES
    return max(PART_BYTES, -(-size // PARTS_MAX))


class _Aborted(Exception):
    """Makes the client abort its multipart upload."""


class ObjectUpload:
    """Implements `Incoming`. A thread sends the parts while the next bytes come in."""

    def __init__(
        self,
        store: ObjectStore,
        key: str,
        *,
        file_id: FileId,
        promised: int | None,
        release: Callable[[int], None],
        may_remove: Callable[[], bool],
    ) -> None:
        """
        Args:
            promised: Bytes that room was promised for, if the sender said how many come.
            release: Gives the promise back.
            may_remove: Nothing refers to the object.
        """
        self._store = store
        self._key = key
        self._promised = promised
        self._release = release
        self._may_remove = may_remove
        self._digest = hashlib.sha256()
        self._blocks: Queue[bytes | _Aborted | None] = Queue(maxsize=1)
        self._failure: Exception | None = None
        self._is_complete = False
        self.name = key.rpartition("/")[2]
        self.file_id = file_id
        self.size = 0
        self._thread = threading.Thread(target=self._send, name="store-upload", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        if data:
            self._hand_over(data)
            self._digest.update(data)
            self.size += len(data)

    @property
    def sha256(self) -> str:
        """Of what came so far."""
        return self._digest.hexdigest()

    def finish(self) -> str:
        self._hand_over(None)
        self._thread.join()
        self._check()
        with reaching():
            stored = obstore.head(self._store, self._key)["size"]
        if stored != self.size:
            raise StoreAway("the object store did not keep the content whole")
        self._is_complete = True
        return self.sha256

    def abort(self) -> None:
        if self._thread.is_alive():
            # Refused only if the thread has ended by itself.
            with contextlib.suppress(StoreAway, NoRoom):
                self._hand_over(_Aborted())
            self._thread.join()
        self._give_back()
        if not self._is_complete:
            return
        self._is_complete = False
        try:
            if self._may_remove():
                with reaching():
                    obstore.delete(self._store, self._key)
        except (StoreAway, FileNotFoundError) as error:
            get_logger().warning("content without a record stays", cause=str(error))

    def _hand_over(self, block: bytes | _Aborted | None) -> None:
        while True:
            self._check()
            try:
                self._blocks.put(block, timeout=_WAIT_S)
            except Full:
                continue
            return

    def _check(self) -> None:
        if isinstance(self._failure, StoreFull):
            raise NoRoom("the object store is full")
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            with reaching():
                obstore.put(
                    self._store,
                    self._key,
                    self._received(),
                    use_multipart=True,
                    chunk_size=part_bytes(self._promised),
                    max_concurrency=PARTS_AT_ONCE,
                )
        except _Aborted:
            pass
        except StoreAway as error:
            self._failure = error
        finally:
            self._give_back()

    def _received(self) -> Iterator[bytes]:
        while (block := self._blocks.get()) is not None:
            if isinstance(block, _Aborted):
                raise block
            yield block

    def _give_back(self) -> None:
        promised, self._promised = self._promised or 0, 0
        self._release(promised)


def copy_object(
    store: ObjectStore, source: str, target: str, *, file_id: FileId, size: int, sha256: str | None
) -> None:
    """Through this process: a copy inside the store has a limit of 5 GB, and so the digest is
    known to be right. On a failure nothing is left at the target.

    Args:
        sha256: What it has to be; `None` for bytes that are known to be damaged.

    Raises:
        FileNotFoundError, FileDamaged: The source is not there, or not what it should be.
    """
    content = open_object(store, source, size)
    if content.size != size:
        raise FileDamaged("the stored content does not have its length")
    copy = ObjectUpload(
        store,
        target,
        file_id=file_id,
        promised=size,
        release=lambda _: None,
        may_remove=lambda: True,
    )
    try:
        while copy.size < size:
            copy.write(content.read(WHOLE_BYTES_MAX, copy.size))
        _check_digest(copy, sha256)
        copy.finish()
    except BaseException:
        copy.abort()
        raise


def _check_digest(copy: ObjectUpload, sha256: str | None) -> None:
    if sha256 not in (None, copy.sha256):
        raise FileDamaged("the stored content does not match its digest")
