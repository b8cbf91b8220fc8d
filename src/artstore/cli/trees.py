"""Finds the files of a tree and reads small ones ahead, in groups.

A group costs one hand-over between threads instead of one per file: of the client's time
for a small file that would be the largest part.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from artstore.cli.selection import EVERYTHING, Selection
from artstore.client.bodies import SeenFile, open_seen, read_unchanged
from artstore.core.errors import DigestMismatch

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
    root: str
    """The tree's folder, or that of a file named alone."""
    size_bytes: int
    mtime_ns: int
    device: int
    inode: int

    @property
    def in_root(self) -> str:
        """Names it among the files of its root."""
        return self.relative if self.relative is not None else f"./{self.path.rpartition('/')[2]}"

    def seen(self, mtime_ns: int | None = None) -> SeenFile:
        follows = self.relative is None
        return SeenFile(self.path, self.device, self.inode, mtime_ns, follows)

    def at(self, status: os.stat_result) -> "Entry":
        """As it was found when it was opened."""
        return _entry(self.path, self.relative, self.root, status)


@dataclass(frozen=True, slots=True)
class Skipped:
    path: str
    reason: str
    is_failure: bool
    """False for what is not a file anyway: symbolic links, sockets, devices."""
    code: str = "unreadable"


@dataclass(frozen=True, slots=True)
class Already:
    """Stored by an earlier run and not changed since."""

    entry: Entry
    file_id: str


@dataclass(frozen=True, slots=True)
class Loaded:
    entry: Entry
    content: bytes | None
    """`None` when the file is too long to be read ahead."""
    is_sparse: bool = False

    def source(self) -> bytes | SeenFile:
        return self.content if self.content is not None else self.entry.seen(self.entry.mtime_ns)


Found: TypeAlias = Entry | Skipped
Ready: TypeAlias = Loaded | Skipped | Already


def walk(paths: Sequence[Path], selection: Selection = EVERYTHING) -> Iterator[Found]:
    """What is selected below `paths`, folder by folder, sorted by name.

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
            yield from _walk_tree(str(path), name, selection)
        elif not selection.takes_file(path.name):
            continue
        elif stat.S_ISREG(status.st_mode):
            yield _entry(str(path), None, str(path.parent.resolve()), status)
        else:
            yield Skipped(str(path), "not a regular file", is_failure=True)


def _entry(path: str, relative: str | None, root: str, status: os.stat_result) -> Entry:
    kept = (status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)
    return Entry(path, relative, root, *kept)


def _walk_tree(top: str, name: str, selection: Selection) -> Iterator[Found]:
    root = str(Path(top).resolve())
    pending = [(top, "")]  # a stack, not recursion: a tree may be deeper than Python allows
    while pending:
        folder, within = pending.pop()
        try:
            with os.scandir(folder) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(folder, error.strerror or str(error), is_failure=True)
            continue
        folders = []
        for child in children:
            child_within = f"{within}/{child.name}" if within else child.name
            if child.is_dir(follow_symlinks=False):
                if not selection.excludes_path(child_within):
                    folders.append((child.path, child_within))
            elif selection.takes_file(child_within):
                relative = f"{name}/{child_within}" if name else child_within
                yield _classified(child, relative, root)
        pending.extend(reversed(folders))


def _classified(child: "os.DirEntry[str]", relative: str, root: str) -> Found:
    if child.is_symlink():
        return Skipped(child.path, "symbolic link", is_failure=False)
    try:
        status = child.stat(follow_symlinks=False)
    except OSError as error:
        return Skipped(child.path, error.strerror or str(error), is_failure=True)
    if not stat.S_ISREG(status.st_mode):
        return Skipped(child.path, "not a regular file", is_failure=False)
    return _entry(child.path, relative, root, status)


def _nothing_yet(_: Entry) -> str | None:
    return None


def next_group(
    found: Iterator[Found], stored_id: Callable[[Entry], str | None] = _nothing_yet
) -> list[Ready]:
    """The next files, small ones with their content; empty at the end. Blocking.

    Args:
        stored_id: Tells of a file that need not be read: it is stored already.
    """
    group: list[Ready] = []
    group_bytes = 0
    for item in islice(found, GROUP_FILES_MAX):
        ready = item if isinstance(item, Skipped) else _ready(item, stored_id(item))
        group.append(ready)
        if isinstance(ready, Loaded) and ready.content is not None:
            group_bytes += len(ready.content)
        if group_bytes >= GROUP_BYTES_MAX:
            break
    return group


def _ready(entry: Entry, file_id: str | None) -> Ready:
    if file_id is not None:
        return Already(entry, file_id)
    try:
        return _loaded(entry)
    except OSError as error:
        return Skipped(entry.path, error.strerror or str(error), is_failure=True)
    except DigestMismatch as failure:
        return Skipped(entry.path, failure.detail, is_failure=True, code=failure.code)


def _loaded(entry: Entry) -> Loaded:
    """Also opens what is too long to be read now, to tell early of what cannot be read."""
    with open_seen(entry.seen()) as file:
        status = os.fstat(file.fileno())
        current = entry.at(status)
        if status.st_size <= READ_AHEAD_BYTES_MAX:
            return Loaded(current, read_unchanged(file, READ_AHEAD_BYTES_MAX))
        return Loaded(current, None, _has_holes(file.fileno(), status.st_size))


def _has_holes(descriptor: int, size_bytes: int) -> bool:
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE) < size_bytes
    except OSError:
        return False  # not a file system that knows
