"""An archive in a directory: a mounted disk or share, readable without this program.

    archive.json                              whose it is
    data/2026/11/22/19/<file id>.pdf          the bytes, as the element had them
    data/2026/11/22/19/<file id>.attr.json    what was known of them when they were moved
    tmp/                                      what is being written

A directory that is not mounted looks empty. So both sides have a number: the element notes that
of its archive, and an archive without it, or with another, is away and not empty.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from artstore.core.errors import FileDamaged
from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import ElementId
from artstore.storage.engine.archive.base import ArchiveAway
from artstore.storage.engine.archive.marks import ArchiveMark, ArchiveNotes, Notebook
from artstore.storage.engine.backends.base import OpenContent
from artstore.storage.engine.durable_file import replace_file
from artstore.storage.engine.fs import Fs, make_directories, read_file, write_all
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.whole import is_whole

_CHUNK_BYTES: Final = 1 << 20
_MAY_BE_THERE: Final = frozenset({"lost+found", "archive.json.new"})
"""In a directory that is taken for an archive: of its file system, or of a crash while it was."""


class DirectoryArchive:
    """Implements `Archive`.

    Args:
        notebook: What the element remembers of its archive.
    """

    def __init__(self, fs: Fs, directory: str, element_id: ElementId, notebook: Notebook) -> None:
        self._fs = fs
        self._layout = Layout(directory)
        self._element_id = element_id
        self._notebook = notebook
        self._unflushed: set[str] = set()
        self._lock = threading.Lock()
        self._has_failed = False

    def connect(self) -> None:
        with _away_if_it_fails(), self._lock:
            notes = self._notebook.read()
            mark = self._mark()
            if notes is None:
                # A crash may have come between the two, so a mark of ours may be here.
                mark = mark or self._make_mark()
                self._notebook.write(ArchiveNotes(archive_id=mark.archive_id))
            elif mark is None:
                raise ArchiveAway("the archive of this storage element is not there")
            elif mark.archive_id != notes.archive_id:
                raise ArchiveAway("this is not the archive of this storage element")

    def keep(self, record: FileRecord, attr: bytes, content: OpenContent) -> None:
        path, attr_path = self._layout.places(record)
        self._check_flushes()
        with _away_if_it_fails():
            self._make_directories(path.rpartition("/")[0])
            if not self._is_whole(path, record):
                self._set_aside(path)
                self._write(path, record, content)
            # The attr.json is for whoever has nothing but the archive. The one that counts
            # is online.
            self._replace(attr_path, attr)

    def settle(self) -> None:
        self._check_flushes()
        with _away_if_it_fails(), self._flushing():
            for directory in sorted(self._unflushed):
                self._fs.flush_directory(directory)
        self._unflushed.clear()

    def open(self, record: FileRecord) -> OpenContent:
        if self._notebook.read() is None:
            raise FileNotFoundError
        self.connect()
        try:
            return ArchivedContent(self._fs, self._fs.open(self._layout.content(record)))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _away(error) from error

    # --- whose it is ------------------------------------------------------------------

    def _mark(self) -> ArchiveMark | None:
        try:
            mark = ArchiveMark.model_validate_json(read_file(self._fs, self._layout.archive))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise ArchiveAway("the mark of the archive cannot be read") from error
        if mark.element_id != self._element_id:
            raise ArchiveAway("the archive belongs to another storage element")
        return mark

    def _make_mark(self) -> ArchiveMark:
        """Never the directory itself: whoever mounts it makes it."""
        if not _MAY_BE_THERE.issuperset(self._fs.names(self._layout.root)):
            raise ArchiveAway("the directory for the archive is not empty")
        mark = ArchiveMark(element_id=self._element_id)
        replace_file(self._fs, self._layout.archive, mark.to_json())
        return mark

    # --- flushing ---------------------------------------------------------------------

    @contextlib.contextmanager
    def _flushing(self) -> Iterator[None]:
        """What a failed one should have written may be gone, and the next one would not say so:
        nothing more is moved until the medium was looked at."""
        try:
            yield
        except OSError:
            self._has_failed = True
            raise

    def _check_flushes(self) -> None:
        if self._has_failed:
            raise ArchiveAway("a flush of the archive failed: check the medium, mount it anew")

    # --- writing ----------------------------------------------------------------------

    def _make_directories(self, directory: str) -> None:
        """All of them are flushed, not those made now: a process that was killed may have left
        one that is in no disk yet."""
        make_directories(self._fs, directory)
        while directory not in self._unflushed and directory != self._layout.root:
            self._unflushed.add(directory)
            directory = directory.rpartition("/")[0]
        self._unflushed.add(self._layout.root)

    def _write(self, path: str, record: FileRecord, content: OpenContent) -> None:
        part = self._part(path)
        handle = self._fs.create(part)
        try:
            self._copy(handle, record, content)
            with self._flushing():
                self._fs.flush(handle)
        except BaseException:
            self._fs.unlink(part)
            raise
        finally:
            self._fs.close(handle)
        # From the disk, not from memory: it is going to be the only copy here.
        if not self._is_whole(part, record):
            raise ArchiveAway("the archive does not give back what was written to it")
        self._fs.rename(part, path)

    def _copy(self, handle: int, record: FileRecord, content: OpenContent) -> None:
        digest, offset = hashlib.sha256(), 0
        while offset < content.size and (data := content.read(_CHUNK_BYTES, offset)):
            digest.update(data)
            write_all(self._fs, handle, data, offset)
            offset += len(data)
        if (offset, digest.hexdigest()) != (record.size, record.sha256):
            raise FileDamaged("the stored content does not match its digest")

    def _replace(self, path: str, data: bytes) -> None:
        part = self._part(path)
        handle = self._fs.create(part)
        try:
            write_all(self._fs, handle, data, 0)
            with self._flushing():
                self._fs.flush(handle)
        finally:
            self._fs.close(handle)
        self._fs.rename(part, path)

    def _part(self, path: str) -> str:
        make_directories(self._fs, self._layout.staging)
        part = self._layout.staged(path.rpartition("/")[2])
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(part)
        return part

    def _is_whole(self, path: str, record: FileRecord) -> bool:
        try:
            return is_whole(self._fs, path, record)
        except FileNotFoundError:
            return False

    def _set_aside(self, path: str) -> None:
        if not self._fs.exists(path):
            return
        target, count = f"{path}.damaged", 1
        while self._fs.exists(target):
            target, count = f"{path}.damaged.{count}", count + 1
        get_logger().error("damaged content set aside in the archive", name=path.rpartition("/")[2])
        self._fs.rename(path, target)


class ArchivedContent:
    """Implements `OpenContent`."""

    def __init__(self, fs: Fs, handle: int) -> None:
        self._fs = fs
        self._handle = handle
        fs.forget(handle)
        self.size = fs.size(handle)

    def read(self, size: int, offset: int) -> bytes:
        with _away_if_it_fails():
            return self._fs.read(self._handle, size, offset)

    def close(self) -> None:
        self._fs.close(self._handle)


@contextlib.contextmanager
def _away_if_it_fails() -> Iterator[None]:
    """Its disk is not the element's: what fails here ends nothing."""
    try:
        yield
    except OSError as error:
        raise _away(error) from error


def _away(error: OSError) -> ArchiveAway:
    get_logger().warning("the archive cannot be used", cause=repr(error))
    return ArchiveAway(f"the archive cannot be used: {error.strerror or 'it failed'}")
