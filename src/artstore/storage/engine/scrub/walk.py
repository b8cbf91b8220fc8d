"""Every name below `data/`, in the order of file ids, without keeping them all.

One hour may hold millions of files: its names are taken in windows, so memory stays the
same and the first file comes at once.
"""

from collections.abc import Iterator
from heapq import nsmallest
from itertools import groupby
from typing import Final, NamedTuple

from artstore.core.model.ids import FileId, is_file_id
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import Layout

WINDOW_NAMES: Final = 50_000
"""Kept at a time; about 10 MB."""

_ID_LENGTH: Final = 36
_LEVELS: Final = (4, 2, 2, 2)
"""Digits of the directories of year, month, day and hour."""


class Group(NamedTuple):
    """What lies in one directory under one file id, or one name that is none."""

    directory: str
    names: list[str]

    @property
    def file_id(self) -> FileId | None:
        key = self.names[0][:_ID_LENGTH]
        return FileId(key) if is_file_id(key) else None


def groups(fs: Fs, layout: Layout, after: FileId | None) -> Iterator[Group]:
    """Those behind `after`. Names that belong nowhere come with every walk.

    A name may be gone when its group comes, and what appears meanwhile may be left out.
    """
    start = layout.directory(after) if after else ""
    yield from _descend(fs, layout.data, 0, start, after or "")


def _descend(fs: Fs, directory: str, level: int, start: str, after: str) -> Iterator[Group]:
    if level == len(_LEVELS):
        yield from _of_hour(fs, directory, after if directory == start else "")
        return
    for name in _names(fs, directory):
        child = f"{directory}/{name}"
        if len(name) != _LEVELS[level] or not name.isdecimal():
            yield Group(directory, [name])
        elif child >= start[: len(child)]:
            yield from _descend(fs, child, level + 1, start, after)


def _of_hour(fs: Fs, directory: str, after: str) -> Iterator[Group]:
    while True:
        names = (name for name in _entries(fs, directory) if name[:_ID_LENGTH] > after)
        window = nsmallest(WINDOW_NAMES, names)
        found = [list(names) for _, names in groupby(window, lambda name: name[:_ID_LENGTH])]
        # The last group of a full window may be cut; it comes whole with the next one.
        is_full = len(window) == WINDOW_NAMES
        if is_full and len(found) > 1:
            found.pop()
        for names_of_one in found:
            yield Group(directory, names_of_one)
        if not is_full:
            return
        after = found[-1][0][:_ID_LENGTH]


def _names(fs: Fs, directory: str) -> list[str]:
    """Few: a level above the hours."""
    return sorted(_entries(fs, directory))


def _entries(fs: Fs, directory: str) -> Iterator[str]:
    """Nothing, if the directory is none, or gone."""
    try:
        yield from fs.names(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
