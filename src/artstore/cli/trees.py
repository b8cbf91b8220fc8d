"""Finds the files of a tree and reads small ones ahead, in groups.

A group costs one hand-over between threads instead of one per file: of the client's time
for a small file that would be the largest part.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from artstore.client.bodies import open_regular

GROUP_FILES_MAX: Final = 64
GROUP_BYTES_MAX: Final = 4 << 20

READ_AHEAD_BYTES_MAX: Final = 64 * 1024
"""A longer file is opened when its turn comes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file to store."""

    path: str
    """As the user reaches it."""
    relative: str | None
    """Within its tree, with the tree's own name in front; `None` for a file named alone."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Skipped:
    path: str
    reason: str
    is_failure: bool
    """False for what is not a file anyway: symbolic links, sockets, devices."""


@dataclass(frozen=True, slots=True)
class Loaded:
    entry: Entry
    content: bytes | None
    """`None` when the file is too long to be read ahead."""


Found: TypeAlias = Entry | Skipped
Ready: TypeAlias = Loaded | Skipped


def walk(paths: Sequence[Path]) -> Iterator[Found]:
    """Everything below `paths`, folder by folder, sorted by name.

    What is named itself is followed if it is a symbolic link; links inside a tree are not:
    they could lead out of it, or in circles.
    """
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            yield Skipped(str(path), error.strerror or str(error), is_failure=True)
            continue
        if stat.S_ISDIR(status.st_mode):
            # The name of `.` or `..` is that of the folder it leads to.
            name = path.name if path.name not in ("", "..") else path.resolve().name
            yield from _walk_tree(str(path), name)
        elif stat.S_ISREG(status.st_mode):
            yield Entry(str(path), None, status.st_size)
        else:
            yield Skipped(str(path), "not a regular file", is_failure=True)


def _walk_tree(root: str, name: str) -> Iterator[Found]:
    pending = [(root, name)]  # a stack, not recursion: a tree may be deeper than Python allows
    while pending:
        folder, relative = pending.pop()
        try:
            with os.scandir(folder) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(folder, error.strerror or str(error), is_failure=True)
            continue
        folders = []
        for child in children:
            child_relative = f"{relative}/{child.name}" if relative else child.name
            if child.is_dir(follow_symlinks=False):
                folders.append((child.path, child_relative))
            else:
                yield _classified(child, child_relative)
        pending.extend(reversed(folders))


def _classified(child: "os.DirEntry[str]", relative: str) -> Found:
    if child.is_symlink():
        return Skipped(child.path, "symbolic link", is_failure=False)
    try:
        status = child.stat(follow_symlinks=False)
    except OSError as error:
        return Skipped(child.path, error.strerror or str(error), is_failure=True)
    if not stat.S_ISREG(status.st_mode):
        return Skipped(child.path, "not a regular file", is_failure=False)
    return Entry(child.path, relative, status.st_size)


def next_group(found: Iterator[Found]) -> list[Ready]:
    """The next files, small ones with their content; empty at the end. Blocking."""
    group: list[Ready] = []
    group_bytes = 0
    for item in islice(found, GROUP_FILES_MAX):
        ready = item if isinstance(item, Skipped) else _loaded(item)
        group.append(ready)
        if isinstance(ready, Loaded) and ready.content is not None:
            group_bytes += len(ready.content)
        if group_bytes >= GROUP_BYTES_MAX:
            break
    return group


def _loaded(entry: Entry) -> Ready:
    if entry.size_bytes > READ_AHEAD_BYTES_MAX:
        return Loaded(entry, None)
    try:
        # In a tree a file may have been replaced by a link since it was seen.
        with open_regular(entry.path, follow_symlinks=entry.relative is None) as file:
            content = file.read(READ_AHEAD_BYTES_MAX + 1)
    except OSError as error:
        return Skipped(entry.path, error.strerror or str(error), is_failure=True)
    if content is None or len(content) != entry.size_bytes:
        return Loaded(entry, None)  # it is being written; the slow way copes
    return Loaded(entry, content)
