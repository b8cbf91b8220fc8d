"""Where the scrub finds files: everything is read from the disk, not from memory."""

from collections.abc import Iterator
from typing import Final, Protocol

from artstore.core.model.file import ATTR_BYTES_MAX, FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine.archive.base import Archive
from artstore.storage.engine.backends.base import Backend, OpenContent
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub.walk import Group, groups

ATTR_READ_MAX: Final = ATTR_BYTES_MAX + 4096
_FORGET_EVERY_BYTES: Final = 8 << 20


class Shelf(Protocol):
    """`OSError` of any call but `FileNotFoundError`: the medium does not give the bytes."""

    def groups(self, after: FileId | None) -> Iterator[Group]:
        """See `walk.groups`. A shelf that lists no names gives that of the record only."""
        ...

    def attr(self, file_id: FileId) -> bytes:
        """The sealed attr.json. `FileNotFoundError`: there is none."""
        ...

    def open(self, record: FileRecord) -> OpenContent:
        """`FileNotFoundError`: there is no content where the record says."""
        ...

    def has_record(self, file_id: FileId) -> bool:
        """Whole or damaged."""
        ...

    def has(self, path: str) -> bool:
        """Is there a name that belongs nowhere?"""
        ...


class LocalShelf:
    """Files under the root of an element; also without the element's process."""

    def __init__(self, fs: Fs, layout: Layout) -> None:
        self._fs = fs
        self._layout = layout

    def groups(self, after: FileId | None) -> Iterator[Group]:
        return groups(self._fs, self._layout, after)

    def attr(self, file_id: FileId) -> bytes:
        handle = self._fs.open(self._layout.attr(file_id))
        try:
            self._fs.forget(handle)
            return self._fs.read(handle, ATTR_READ_MAX, 0)
        finally:
            self._fs.close(handle)

    def open(self, record: FileRecord) -> OpenContent:
        return UncachedContent(self._fs, self._layout.content(record))

    def has_record(self, file_id: FileId) -> bool:
        return self._fs.exists(self._layout.attr(file_id))

    def has(self, path: str) -> bool:
        return self._fs.exists(path)


class ArchivedShelf(LocalShelf):
    """The same, with contents that may have moved to an archive. That an archive is away says
    nothing of what is in it: `ArchiveAway` ends whatever is looking."""

    def __init__(self, fs: Fs, layout: Layout, archive: Archive) -> None:
        super().__init__(fs, layout)
        self._archive = archive

    def open(self, record: FileRecord) -> OpenContent:
        try:
            return super().open(record)
        except FileNotFoundError:
            return self._archive.open(record)


class UncachedContent:
    """Does not believe what memory holds, and leaves nothing there: what a scrub reads is
    not what anybody asks for next."""

    def __init__(self, fs: Fs, path: str) -> None:
        self._fs = fs
        self._handle = fs.open(path)
        self._unforgotten = 0
        try:
            fs.forget(self._handle)
            self.size = fs.size(self._handle)
        except OSError:
            fs.close(self._handle)
            raise

    def read(self, size: int, offset: int) -> bytes:
        data = self._fs.read(self._handle, size, offset)
        self._unforgotten += len(data)
        if self._unforgotten >= _FORGET_EVERY_BYTES:
            self._fs.forget(self._handle)
            self._unforgotten = 0
        return data

    def close(self) -> None:
        self._fs.forget(self._handle)
        self._fs.close(self._handle)


class StoreShelf:
    """Files of an element whose backend is not its own volume. What no record knows is not
    found there: a store's leftovers are listed by its own tools."""

    def __init__(self, backend: Backend, layout: Layout) -> None:
        self._backend = backend
        self._layout = layout

    def groups(self, after: FileId | None) -> Iterator[Group]:
        for file_id in self._backend.ids_after(after or FileId("")):
            directory, _, name = self._layout.attr(file_id).rpartition("/")
            yield Group(directory, [name])

    def attr(self, file_id: FileId) -> bytes:
        return self._backend.attr(file_id)

    def open(self, record: FileRecord) -> OpenContent:
        return self._backend.open(record)

    def has_record(self, file_id: FileId) -> bool:
        return bool(self._backend.existing([file_id]))

    def has(self, path: str) -> bool:
        return False
