"""Files on the element's own volume, under its root."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from artstore.core.logging import get_logger
from artstore.core.model.file import ATTR_BYTES_MAX, FileRecord
from artstore.core.model.ids import FileId, is_file_id
from artstore.storage.engine.backends.base import (
    Incoming,
    Item,
    Placeable,
    Placing,
    Promises,
    Result,
)
from artstore.storage.engine.fs import Fs, Volume
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import ATTR_SUFFIX, Layout
from artstore.storage.engine.newcomers import Newcomers
from artstore.storage.engine.placement import Placement
from artstore.storage.engine.placer import Placer, PlacerFailed
from artstore.storage.engine.upload import Adopted, Upload

WINDOW_FILES: Final = 50_000
"""How many names of one hour are kept sorted at a time: 10 MB, and an hour of a million
files is scanned 20 times for a whole listing, not once for each page."""

_ATTR_READ_MAX: Final = ATTR_BYTES_MAX + 4096


class LocalContent:
    def __init__(self, fs: Fs, handle: int) -> None:
        self._fs = fs
        self._handle = handle
        self.size = fs.size(handle)

    def read(self, size: int, offset: int) -> bytes:
        return self._fs.read(self._handle, size, offset)

    def close(self) -> None:
        self._fs.close(self._handle)


class LocalBackend:
    """Implements `Backend`.

    Args:
        volume: Handle of the root directory, opened before anything was written.
    """

    is_log_enough: Final = True

    def __init__(self, fs: Fs, layout: Layout, placer: Placer, volume: int) -> None:
        self._fs = fs
        self._layout = layout
        self._placer = placer
        self._volume = volume
        self._placement = Placement(fs, layout)
        self._newcomers = Newcomers(fs, layout)
        self._window: tuple[str, str, list[FileId]] = ("", "", [])

    def connect(self, element: ElementFile, *, is_new: bool) -> ElementFile:
        return element

    # --- reading ----------------------------------------------------------------------

    def attr(self, file_id: FileId) -> bytes:
        handle = self._fs.open(self._layout.attr(file_id))
        try:
            return self._fs.read(handle, _ATTR_READ_MAX, 0)
        finally:
            self._fs.close(handle)

    def open(self, record: FileRecord) -> LocalContent:
        return LocalContent(self._fs, self._fs.open(self._layout.content(record)))

    def ids_after(self, after: FileId) -> Iterator[FileId]:
        for hour in self._hours_from(after):
            last = after
            while window := self._ids_of_hour(hour, last):
                yield from window
                last = window[-1]

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        return map(work, items)

    # --- writing ----------------------------------------------------------------------

    def existing(self, file_ids: Sequence[FileId]) -> Collection[FileId]:
        doubtful = self._newcomers.doubtful(file_ids)
        paths = {self._layout.attr(file_id): file_id for file_id in doubtful}
        try:
            return [paths[path] for path in self._placer.existing(list(paths))]
        except PlacerFailed:
            return doubtful

    def put_new(self, changes: Sequence[Placeable]) -> Placing:
        new = {
            change.sequence: file
            for change in changes
            if (file := self._placement.new_file(change)) is not None
        }
        self._newcomers.note([change.record.file_id for change in changes])
        wait = self._placer.put_new(list(new.values()))

        def finish() -> set[int]:
            try:
                wait()
            except PlacerFailed as failure:
                get_logger().warning("files are put in place one by one", cause=str(failure))
                return set()
            return set(new)

        return finish

    def replay(self, change: Placeable, *, verify: bool = True) -> None:
        try:
            self._placement.replay(change, verify=verify)
        finally:
            self._newcomers.note([change.record.file_id])

    # --- large contents ---------------------------------------------------------------

    def begin_upload(
        self,
        file_id: FileId,
        name: str,
        size: int | None,
        room: Promises,
        fail: Callable[[str, Exception], None],
    ) -> Incoming:
        return Upload(self._fs, self._layout, room, fail, file_id=file_id, size=size)

    def adopt(
        self,
        path: str,
        file_id: FileId,
        name: str,
        sha256: str,
        *,
        room: Promises,
        fail: Callable[[str, Exception], None],
    ) -> Incoming:
        return Adopted(self._fs, self._layout, fail, path=path, file_id=file_id, sha256=sha256)

    def prepare(self, record: FileRecord, present_name: str) -> None:
        """A file is renamed in no time."""

    # --- checkpoints ------------------------------------------------------------------

    def settle(self, element: ElementFile) -> None:
        self._fs.flush_volume(self._volume)

    def drop_staged(self, covered: int) -> None:
        self._placement.drop_staged(covered)

    def keep_history(self, paths: Sequence[str], read: Callable[[str], bytes]) -> None:
        """It lies on the volume already."""

    def volume(self) -> Volume | None:
        return None

    def close(self) -> None:
        self._placer.close()

    # --- inside -----------------------------------------------------------------------

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
        window = _first_ids(self._fs.names(directory), after)
        self._window = (directory, after, window)
        return window


def _first_ids(names: Iterator[str], after: FileId) -> list[FileId]:
    """The first `WINDOW_FILES` ids behind `after` that have a record, sorted.

    In chunks: an hour may have millions of names, and a comprehension takes each in a fraction
    of the time of a generator.
    """
    lowest, highest = after + ATTR_SUFFIX, "~"  # behind every id
    found: list[str] = []
    while chunk := list(islice(names, WINDOW_FILES)):
        found += [
            name
            for name in chunk
            if lowest < name < highest and name.endswith(ATTR_SUFFIX) and is_file_id(_id_in(name))
        ]
        if len(found) > WINDOW_FILES:
            found.sort()
            del found[WINDOW_FILES:]
            highest = found[-1]
    return [_id_in(name) for name in sorted(found)]


def _id_in(name: str) -> FileId:
    return FileId(name[: -len(ATTR_SUFFIX)])
