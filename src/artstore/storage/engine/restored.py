"""Copies of archived files that can be read here for a while.

    restored/<file id>        the bytes
    restored/<file id>.json   whose they are, where they come from, until when they stay

Nothing here is a file of the element: no log tells of it, no retention binds it, and losing it
loses nothing, since the archive has the file. So it may be removed by its term alone. The bytes
are durable before the small file names them; one without the other is no copy.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from pydantic import ValidationError

from artstore.core.clock import Clock
from artstore.core.errors import DigestMismatch, NotReady, UnknownFile
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId, is_file_id
from artstore.core.model.restored import RestoredCopy, RestoreTerms
from artstore.storage.engine.admission import Admission
from artstore.storage.engine.backends.base import Incoming
from artstore.storage.engine.backends.local import LocalContent
from artstore.storage.engine.capacity import Room
from artstore.storage.engine.durable_file import replace_file
from artstore.storage.engine.fs import Fs, make_directories, read_file
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.reading import Content
from artstore.storage.engine.upload import Upload, failure_of

_STATE: Final = ".json"


class RestoredCopies:
    """Safe to share between threads: a copy comes and goes by one rename or unlink.

    Args:
        fail: Told when the volume fails, not just fills.
    """

    def __init__(
        self,
        fs: Fs,
        layout: Layout,
        room: Room,
        clock: Clock,
        *,
        admission: Admission,
        fail: Callable[[str, Exception], None],
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._room = room
        self._clock = clock
        self._admission = admission
        self._fail = fail
        self._tidy()

    def begin(self, record: FileRecord) -> Incoming:
        """Receive the content; ends with `finish`, or with `abort` of what is returned.

        Raises:
            ModeForbids, NoRoom, Unavailable.
        """
        self._admission.check_restored()
        return Upload(
            self._fs,
            self._layout,
            self._room,
            self._fail,
            file_id=record.file_id,
            size=record.size,
        )

    def finish(self, incoming: Incoming, record: FileRecord, terms: RestoreTerms) -> RestoredCopy:
        """Durable on return; an earlier copy is replaced.

        Raises:
            DigestMismatch: It is not the file. Nothing was kept.
            NoRoom, Unavailable.
        """
        try:
            sha256 = incoming.finish()
            with self._named_failures():
                return self._keep(incoming.name, sha256, record, terms)
        except BaseException:
            incoming.abort()
            raise

    def find(self, file_id: FileId) -> RestoredCopy:
        """Raises `UnknownFile`: there is none, or its time is over."""
        copy = self._load(file_id)
        if copy is None or copy.expires_at <= self._clock.now():
            raise UnknownFile("there is no file with this id")
        return copy

    def open(self, file_id: FileId) -> Content:
        """Raises `UnknownFile`, as `find`."""
        copy = self.find(file_id)
        try:
            handle = self._fs.open(self._layout.restored_copy(file_id))
        except FileNotFoundError:
            raise UnknownFile("there is no file with this id") from None
        content = LocalContent(self._fs, handle)
        if content.size != copy.record.size:
            content.close()
            raise UnknownFile("there is no file with this id")
        return Content(content, copy.record)

    def remove(self, file_id: FileId) -> None:
        """When its time is over. Again is the same as once.

        Raises:
            NotReady: It is not over.
            Unavailable.
        """
        copy = self._load(file_id)
        if copy is not None and copy.expires_at > self._clock.now():
            raise NotReady("this restored copy is still to be kept")
        with self._named_failures():
            self._remove(file_id)

    def _keep(
        self, name: str, sha256: str, record: FileRecord, terms: RestoreTerms
    ) -> RestoredCopy:
        if sha256 != record.sha256:
            raise DigestMismatch("what was restored has not the digest of the file")
        copy = RestoredCopy(
            file_id=record.file_id,
            restored_from=terms.restored_from,
            restored_at=self._clock.now(),
            expires_at=terms.expires_at,
            record=record.model_copy(update={"restored_from": terms.restored_from}),
        )
        self._place(self._layout.staged(name), copy)
        return copy

    def _place(self, staged: str, copy: RestoredCopy) -> None:
        for made in make_directories(self._fs, self._layout.restored):
            self._fs.flush_directory(made.rpartition("/")[0])
        path = self._layout.restored_copy(copy.file_id)
        self._fs.rename(staged, path)
        # Flushes the folder, and with it both names.
        replace_file(self._fs, path + _STATE, copy.model_dump_json().encode() + b"\n")

    def _load(self, file_id: FileId) -> RestoredCopy | None:
        path = self._layout.restored_copy(file_id) + _STATE
        try:
            return RestoredCopy.model_validate_json(read_file(self._fs, path))
        except (FileNotFoundError, ValidationError):
            return None

    def _remove(self, file_id: FileId) -> None:
        path = self._layout.restored_copy(file_id)
        for name in (path + _STATE, path):
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(name)

    def _tidy(self) -> None:
        """What is over, or half, when the element starts. Later somebody asks for it: see
        `remove`."""
        if not self._fs.exists(self._layout.restored):
            return
        names = list(self._fs.names(self._layout.restored))
        for file_id in {FileId(name[:36]) for name in names if is_file_id(name[:36])}:
            copy = self._load(file_id)
            is_whole = copy is not None and self._fs.exists(self._layout.restored_copy(file_id))
            if not is_whole or (copy and copy.expires_at <= self._clock.now()):
                self._remove(file_id)

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise failure_of(error, self._fail) from error
