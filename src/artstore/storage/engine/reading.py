"""Reading files: records, content, listings. Nothing here takes a lock while it reads."""

import hashlib
from collections.abc import Iterator
from heapq import nsmallest
from typing import Final

from artstore.core.errors import ArtStoreError, FileDamaged, FileDeleted, UnknownFile
from artstore.core.logging import get_logger
from artstore.core.model.file import ATTR_BYTES_MAX, FileRecord
from artstore.core.model.ids import FileId, is_file_id
from artstore.storage.engine import sidecar
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import ATTR_SUFFIX, Layout

PAGE_BYTES_MAX: Final = 8 << 20
WINDOW_FILES: Final = 50_000
"""How many names of one hour are kept sorted at a time: 10 MB, and an hour of a million
files is scanned 20 times for a whole listing, not once for each page."""

_ATTR_READ_MAX: Final = ATTR_BYTES_MAX + 4096


class Content:
    """An open file: its record and its bytes. Close it. One thread at a time."""

    def __init__(self, fs: Fs, handle: int, record: FileRecord) -> None:
        self._fs = fs
        self._handle = handle
        self.record = record

    def read(self, size: int, offset: int) -> bytes:
        """Raises:
        FileDamaged: The file became shorter.
        """
        data = self._fs.read(self._handle, size, offset)
        wanted = min(size, self.record.size - offset)
        while len(data) < wanted:
            more = self._fs.read(self._handle, wanted - len(data), offset + len(data))
            if not more:
                raise FileDamaged("the stored content is too short")
            data += more
        return data

    def close(self) -> None:
        self._fs.close(self._handle)


class Reading:
    def __init__(self, fs: Fs, layout: Layout, claims: Claims) -> None:
        self._fs = fs
        self._layout = layout
        self._claims = claims
        self._window: tuple[str, str, list[FileId]] = ("", "", [])

    def record(self, file_id: FileId) -> FileRecord:
        """Raises:
        UnknownFile: There is none, or it is being created.
        FileDamaged: Its attr.json is not what was written.
        """
        data = self._attr(file_id)
        if data is None:
            raise UnknownFile("there is no file with this id")
        return sidecar.parse(data, file_id)

    def find(self, file_id: FileId) -> FileRecord | None:
        """For the writer, which has to see its own unfinished files too."""
        try:
            data = self._read_attr(file_id)
        except FileNotFoundError:
            return None
        return sidecar.parse(data, file_id)

    def open_content(self, file_id: FileId) -> Content:
        """Raises:
        UnknownFile, FileDeleted, FileDamaged: It is not there, or not whole.
        """
        record = self.record(file_id)
        handle = self._open(record)
        if handle is None:
            # A change may be half-way: the content has its new name or is gone already,
            # and the record is about to say so.
            self._claims.wait_until_free(file_id)
            record = self.record(file_id)
            handle = self._open(record)
        if handle is None:
            raise FileDamaged("the content of this file is missing")
        if self._fs.size(handle) != record.size:
            self._fs.close(handle)
            raise FileDamaged("the stored content does not have its length")
        return Content(self._fs, handle, record)

    def small_content(self, content: Content) -> bytes:
        """All of it, checked.

        Raises:
            FileDamaged: Its digest is not the recorded one.
        """
        data = content.read(content.record.size, 0)
        if hashlib.sha256(data).hexdigest() != content.record.sha256:
            raise FileDamaged("the stored content does not match its digest")
        return data

    def files(self, after: FileId | None, limit: int) -> list[bytes]:
        """Records (JSON lines) behind the id `after` in the order of ids, tombstones too.

        None is left means the end. A damaged record is left out and logged: the catalogue
        then shows the file as missing, which is an alarm and never a deletion.
        """
        lines: list[bytes] = []
        size = 0
        for file_id in self._ids_after(after or FileId("")):
            try:
                data = self._attr(file_id)
                line = sidecar.unseal(data) if data is not None else None
            except ArtStoreError as error:
                get_logger().error(
                    "record left out of a listing", file_id=file_id, cause=str(error)
                )
                continue
            if line is None:
                continue
            lines.append(line)
            size += len(line)
            if len(lines) >= limit or size >= PAGE_BYTES_MAX:
                break
        return lines

    def _open(self, record: FileRecord) -> int | None:
        if record.deleted is not None:
            raise FileDeleted("this file was deleted", deleted_at=record.deleted.at.isoformat())
        try:
            return self._fs.open(self._layout.content(record))
        except FileNotFoundError:
            return None

    def _attr(self, file_id: FileId) -> bytes | None:
        """The sealed attr.json of a file that readers may see."""
        for attempt in range(2):
            if self._claims.hides(file_id):
                return None
            try:
                data = self._read_attr(file_id)
                sidecar.unseal(data)
            except FileNotFoundError:
                return None
            except sidecar.AttrDamaged:
                # It may have begun to exist between the two lines above.
                if attempt:
                    raise
            else:
                return data
        return None

    def _read_attr(self, file_id: FileId) -> bytes:
        handle = self._fs.open(self._layout.attr(file_id))
        try:
            return self._fs.read(handle, _ATTR_READ_MAX, 0)
        finally:
            self._fs.close(handle)

    def _ids_after(self, after: FileId) -> Iterator[FileId]:
        for hour in self._hours_from(after):
            last = after
            while window := self._ids_of_hour(hour, last):
                yield from window
                last = window[-1]

    def _hours_from(self, after: FileId) -> Iterator[str]:
        """Hour directories in order, from that of `after` on."""
        start = self._layout.directory(after) if after else ""
        return self._descend(self._layout.data, 4, start)

    def _descend(self, directory: str, levels: int, start: str) -> Iterator[str]:
        if levels == 0:
            yield directory
            return
        for name in sorted(name for name in self._fs.names(directory) if name.isdecimal()):
            child = f"{directory}/{name}"
            if child >= start[: len(child)]:
                yield from self._descend(child, levels - 1, start)

    def _ids_of_hour(self, directory: str, after: FileId) -> list[FileId]:
        """The next ids of the hour, sorted; a part of them if there are very many.

        The rest of the last window is kept, for the next page of the same listing. A file
        that came since is not in it: whoever lists noted the feed's position first.
        """
        kept_directory, begin, window = self._window
        if kept_directory == directory and window and begin <= after < window[-1]:
            return [file_id for file_id in window if file_id > after]
        names = self._fs.names(directory)
        ids = (FileId(name[: -len(ATTR_SUFFIX)]) for name in names if name.endswith(ATTR_SUFFIX))
        window = nsmallest(WINDOW_FILES, (i for i in ids if i > after and is_file_id(i)))
        self._window = (directory, after, window)
        return window
