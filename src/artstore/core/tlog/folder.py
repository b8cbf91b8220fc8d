"""A log in a folder of a local disk: plain files that are written once.

A file is written beside its place under a temporary name, flushed, and then given its name by a
link, which unlike a rename never replaces. Then the folder is flushed, and every folder above it
that was newly made. Only `replace` renames over an old file, and only what may change, the
checkpoint, is written that way.

Full entry bundles are compressed (`packing`) and have `.gz` behind their name; older logs have them
as they are, and both are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from artstore.core.tlog.errors import LogStopped, ObjectConflict, ObjectMissing
from artstore.core.tlog.files import Files, LocalFiles, read_file, write_new_file
from artstore.core.tlog.packing import ENTRIES, SUFFIX, is_packed, pack, unpack

ASIDE = "set-aside"
TEMPORARY = ".incoming-"
LOCK = "lock"

DURABLE_FOLDERS_MAX = 1000
"""How many are remembered; forgetting one costs a flush."""


class FolderStore:
    """Implements `LogStore`. One process at a time may write: see `lock`."""

    def __init__(self, root: Path, files: Files | None = None) -> None:
        """`root` must exist."""
        self._root = str(root)
        self._files: Files = files or LocalFiles()
        self._lock: int | None = None
        # Folders whose own names are durable, as far as this process has seen to it. After a
        # crash a folder may be there and not be on the disk yet.
        self._durable: set[str] = {self._root}

    @classmethod
    def at(cls, root: Path) -> Self:
        """A store in `root`, which is made, durably, if it is missing."""
        files, root = LocalFiles(), root.absolute()
        for folder in reversed((root, *root.parents[:-1])):
            if not files.exists(str(folder)):
                files.make_directory(str(folder))
                files.flush_directory(str(folder.parent))
        return cls(root, files)

    def lock(self) -> Self:
        """Keep other writers out until `close`, or until this process ends, however it does.

        Raises:
            LogStopped: Another process writes to this log.
        """
        try:
            self._lock = self._files.lock(self._path(LOCK))
        except BlockingIOError:
            raise LogStopped("another process writes to this log") from None
        return self

    def close(self) -> None:
        if self._lock is not None:
            self._files.close(self._lock)
            self._lock = None

    def read(self, path: str) -> bytes:
        if is_packed(path):
            try:
                return unpack(path, read_file(self._files, self._path(path + SUFFIX)))
            except (FileNotFoundError, NotADirectoryError):
                pass
        try:
            return read_file(self._files, self._path(path))
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissing(path) from None

    def publish(self, objects: Mapping[str, bytes]) -> None:
        changed: set[str] = set()
        for path, data in objects.items():
            changed |= self._opened(_folder_of(self._path(path)))
            stored = self._stored(path)
            temporary = self._write_beside(stored, pack(data) if stored != path else data)
            try:
                self._files.link(temporary, self._path(stored))
            except FileExistsError:
                if self.read(path) != data:
                    raise ObjectConflict(path) from None
            finally:
                self._files.unlink(temporary)
        self._flush(changed)

    def replace(self, path: str, data: bytes) -> None:
        changed = self._opened(_folder_of(self._path(path)))
        self._files.rename(self._write_beside(path, data), self._path(path))
        self._flush(changed)

    def remove_folder(self, folder: str) -> None:
        """Not flushed: should a crash bring objects back, no harm is done."""
        path = self._path(folder)
        if not self._files.exists(path):
            return
        for name in list(self._files.names(path)):
            self._files.unlink(f"{path}/{name}")
        self._files.remove_directory(path)
        self._durable.discard(path)

    def set_aside(self, path: str) -> None:
        path = self._stored(path)
        source = self._path(path)
        if not self._files.exists(source):
            return
        aside = self._path(ASIDE)
        changed = self._opened(aside) | self._opened(_folder_of(source))
        name = path.replace("/", "_")
        # An earlier crash may have left one of this name: none of them is lost.
        number = sum(other.startswith(f"{name}~") for other in self._files.names(aside))
        self._files.rename(source, f"{aside}/{name}~{number}")
        self._flush(changed)

    def names(self, folder: str) -> list[str]:
        try:
            found = list(self._files.names(self._path(folder)))
        except FileNotFoundError:
            return []
        if folder.startswith(ENTRIES):
            found = [name.removesuffix(SUFFIX) for name in found]
        return [name for name in found if not name.startswith(TEMPORARY)]

    def _stored(self, path: str) -> str:
        """Under which name: where there is an old one that is not compressed, under that."""
        if not is_packed(path) or self._files.exists(self._path(path)):
            return path
        return path + SUFFIX

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _write_beside(self, path: str, data: bytes) -> str:
        """Write and flush `data` under a temporary name in the same folder."""
        folder, _, name = self._path(path).rpartition("/")
        temporary = f"{folder}/{TEMPORARY}{name}"
        # What a crash left may be a second name of a published file: never write into it.
        if self._files.exists(temporary):
            self._files.unlink(temporary)
        write_new_file(self._files, temporary, data)
        return temporary

    def _opened(self, folder: str) -> set[str]:
        """Make `folder` and those above it, as far as they are missing. Returns what has to be
        flushed to make new names in it last."""
        unsure: list[str] = []
        above = folder
        while above not in self._durable:
            unsure.append(above)
            above = _folder_of(above)
        for new in reversed(unsure):
            if not self._files.exists(new):
                self._files.make_directory(new)
        return {folder, *(_folder_of(new) for new in unsure)}

    def _flush(self, folders: set[str]) -> None:
        """`folders`: from `_opened`, so that each one's own name lasts when this returns."""
        for folder in sorted(folders):
            self._files.flush_directory(folder)
        if len(self._durable) > DURABLE_FOLDERS_MAX:
            self._durable = {self._root}
        self._durable |= folders


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]
