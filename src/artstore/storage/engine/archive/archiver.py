"""Moves the contents of an element in mode `ar` to its archive, and nothing else moves them.

For each file: its content is in the archive, durable and read back, before it leaves the
element. A crash leaves it in both places at the worst, and the walk goes on behind the last
batch that was noted. Records stay.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from artstore.core.clock import Clock
from artstore.core.errors import FileDamaged, Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import ARCHIVE_TROUBLE, ARCHIVED_BYTES, ARCHIVED_FILES
from artstore.core.model.element import ArchiveStatus, StorageMode
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine import sidecar
from artstore.storage.engine.archive.base import Archive, ArchiveAway
from artstore.storage.engine.archive.marks import ArchiveNotes, Notebook
from artstore.storage.engine.backends.base import Backend
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.modes import Standing
from artstore.storage.engine.scrub.pace import Pace

BATCH_FILES: Final = 256
BATCH_BYTES: Final = 64 << 20
"""What a crash has to do again, at most, but for one large file."""
FILE_COST_BYTES: Final = 32 << 10
"""What a file costs beside its bytes, as bytes of the rate."""
LOOK_EVERY_S: Final = 10.0
_POLL_S: Final = 0.5
_NICENESS: Final = 19


class Moved(NamedTuple):
    record: FileRecord
    path: str


class Archiver:
    """
    Args:
        check: Raises `Unavailable` after a fault: then nobody knows what is in its place.
    """

    def __init__(
        self,
        *,
        fs: Fs,
        layout: Layout,
        backend: Backend,
        claims: Claims,
        standing: Standing,
        archive: Archive,
        notebook: Notebook,
        clock: Clock,
        rate_bytes_per_s: int,
        check: Callable[[], None],
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._backend = backend
        self._claims = claims
        self._standing = standing
        self._archive = archive
        self._notebook = notebook
        self._clock = clock
        self._check = check
        self._trouble: str | None = None
        self._notes: ArchiveNotes | None = None
        self._begin_anew = threading.Event()
        self._stopping = threading.Event()
        self._pace = Pace(clock, self._nap, rate_bytes_per_s)
        self._thread = threading.Thread(target=self._run, name="archiver")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was moved is noted; the next start goes on from there."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def status(self) -> ArchiveStatus | None:
        if self._standing.mode is not StorageMode.AR:
            return None
        notes = self._notes
        return ArchiveStatus(
            moved_files=notes.moved_files if notes else 0,
            moved_bytes=notes.moved_bytes if notes else 0,
            left_files=notes.left_files if notes else 0,
            complete=notes is not None and notes.completed_at is not None,
            trouble=self._trouble,
        )

    def look_again(self) -> None:
        """Contents came back online: a file was repaired."""
        self._begin_anew.set()

    # --- the walk ---------------------------------------------------------------------

    def run_pass(self) -> None:
        """Move all that is left, from where it was noted. Does nothing in other modes.

        Raises:
            ArchiveAway, Unavailable, OSError: It cannot get on now.
        """
        if self._standing.mode is not StorageMode.AR:
            return
        self._archive.connect()
        # No file is new in this mode, but the last ones may be on their way to their places.
        self._claims.wait_for_logged()
        notes = self._notebook.read()
        assert notes is not None, "it has just been connected"
        if self._begin_anew.is_set():
            self._begin_anew.clear()
            fresh = {"after": None, "completed_at": None, "left_files": 0}
            notes = notes.model_copy(update=fresh)
        self._notes = notes
        if notes.completed_at is not None:
            return
        for batch in self._batches(notes.after or FileId("")):
            notes = self._move(batch, notes)
            self._note(notes)
        if not self._stopping.is_set():
            self._note(notes.model_copy(update={"completed_at": self._clock.now()}))
            get_logger().info("all contents are in the archive", files=notes.moved_files)

    def _batches(self, after: FileId) -> Iterator[list[FileId]]:
        batch: list[FileId] = []
        size = 0
        for file_id in self._backend.ids_after(after):
            if self._stopping.is_set():
                return
            batch.append(file_id)
            size += self._size_of(file_id)
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _size_of(self, file_id: FileId) -> int:
        record = self._record(file_id)
        return record.size if record is not None else 0

    def _move(self, batch: list[FileId], notes: ArchiveNotes) -> ArchiveNotes:
        """Each step may be repeated, from any state that a crash can leave."""
        kept: list[Moved] = []
        left = 0
        for file_id in batch:
            if self._stopping.is_set():
                break
            notes = notes.model_copy(update={"after": file_id})
            try:
                moved = self._keep(file_id)
            except FileDamaged as error:
                left += 1
                get_logger().warning("content is not archived", file_id=file_id, cause=error.detail)
                continue
            if moved is not None:
                kept.append(moved)
        self._archive.settle()
        for moved in kept:
            self._withdraw(moved)
        for directory in sorted({moved.path.rpartition("/")[0] for moved in kept}):
            self._fs.flush_directory(directory)
        size = sum(moved.record.size for moved in kept)
        ARCHIVED_FILES.inc(len(kept))
        ARCHIVED_BYTES.inc(size)
        return notes.model_copy(
            update={
                "moved_files": notes.moved_files + len(kept),
                "moved_bytes": notes.moved_bytes + size,
                "left_files": notes.left_files + left,
            }
        )

    def _keep(self, file_id: FileId) -> Moved | None:
        """`None`: there is nothing to move, or it was moved before."""
        record = self._record(file_id)
        if record is None or record.deleted is not None:
            return None
        try:
            content = self._backend.open(record)
        except FileNotFoundError:
            return None
        try:
            self._pace.take(record.size + FILE_COST_BYTES, lambda: not self._stopping.is_set())
            self._archive.keep(record, self._backend.attr(file_id), content)
        finally:
            content.close()
        return Moved(record, self._layout.content(record))

    def _withdraw(self, moved: Moved) -> None:
        with self._claims.held(moved.record.file_id):
            # After a fault nobody knows what is in its place, so nothing is taken away.
            self._check()
            if self._fs.exists(moved.path):
                self._fs.unlink(moved.path)

    def _record(self, file_id: FileId) -> FileRecord | None:
        """A damaged one is the scrub's to tell of; its content stays where it is."""
        try:
            return sidecar.parse(self._backend.attr(file_id), file_id)
        except (FileNotFoundError, FileDamaged):
            return None

    def _note(self, notes: ArchiveNotes) -> None:
        self._notebook.write(notes)
        self._notes = notes

    # --- the thread -------------------------------------------------------------------

    def _run(self) -> None:
        # Of this thread alone: reading comes first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._stopping.wait(_POLL_S):
            if self._standing.mode is not StorageMode.AR:
                continue
            try:
                self.run_pass()
                self._tell(None)
            except ArchiveAway as away:
                self._tell(away.detail)
            except (Unavailable, OSError) as error:
                get_logger().warning("contents are not moved to the archive", exc_info=error)
                self._tell("the element's own volume does not allow it")
            # Also when all is moved: somebody should know before there is a restore.
            self._wait_for_work()

    def _wait_for_work(self) -> None:
        for _ in range(int(LOOK_EVERY_S / _POLL_S)):
            if self._begin_anew.is_set() or self._stopping.wait(_POLL_S):
                return

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            get_logger().warning("the archive is of no use", cause=trouble)
        self._trouble = trouble
        ARCHIVE_TROUBLE.set(trouble is not None)

    def _nap(self, seconds: float) -> None:
        self._stopping.wait(min(seconds, _POLL_S))
