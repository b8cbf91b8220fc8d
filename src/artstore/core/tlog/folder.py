"""A log in a folder of a local disk: plain files that are written once.

A file is written beside its place under a temporary name, flushed, and then given its name with
link(2), which unlike rename(2) never replaces. Then the folder is flushed, and every folder that
was newly made, up to the first that was there before. Only `replace` renames over an old file,
and only the checkpoint is written that way.
"""

import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from artstore.core.tlog.errors import LogStopped, ObjectConflict, ObjectMissing

ASIDE = "set-aside"
TEMPORARY = ".incoming-"
LOCK = "lock"
FOLDER_MODE = 0o750
FILE_MODE = 0o640


class FolderStore:
    """Implements `LogStore`. One process at a time may write: `lock` makes sure."""

    def __init__(self, root: Path) -> None:
        """`root` must exist."""
        self._root = root
        self._lock: int | None = None

    def lock(self) -> Self:
        """Keep other writers out until `close`, or until this process ends, however it does.

        Raises:
            LogStopped: Another process writes to this log.
        """
        handle = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise LogStopped(f"another process writes to {self._root}") from None
        self._lock = handle
        return self

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissing(path) from None

    def publish(self, objects: Mapping[str, bytes]) -> None:
        touched: set[Path] = set()
        for path, data in objects.items():
            target = self._root / path
            touched.update(self._make_folders(target.parent))
            touched.add(target.parent)
            self._publish_one(path, target, data)
        self._flush_folders(touched)

    def _publish_one(self, path: str, target: Path, data: bytes) -> None:
        temporary = _write_beside(target, data)
        try:
            target.hardlink_to(temporary)
        except FileExistsError:
            if target.read_bytes() != data:
                raise ObjectConflict(path) from None
        finally:
            temporary.unlink()

    def replace(self, path: str, data: bytes) -> None:
        target = self._root / path
        touched = self._make_folders(target.parent) | {target.parent}
        _write_beside(target, data).replace(target)
        self._flush_folders(touched)

    def remove(self, path: str) -> None:
        """Not flushed: when a crash brings the object back, no harm is done."""
        (self._root / path).unlink(missing_ok=True)

    def set_aside(self, path: str) -> None:
        source = self._root / path
        if not source.exists():
            return
        folder = self._root / ASIDE
        touched = self._make_folders(folder)
        name = path.replace("/", "_")
        # A second crash may leave another file of this name: none of them is lost.
        number = sum(1 for other in folder.iterdir() if other.name.startswith(f"{name}~"))
        source.rename(folder / f"{name}~{number}")
        self._flush_folders(touched | {folder, source.parent})

    def names(self, folder: str) -> list[str]:
        try:
            found = [entry.name for entry in os.scandir(self._root / folder) if entry.is_file()]
        except FileNotFoundError:
            return []
        return [name for name in found if not name.startswith(TEMPORARY)]

    def _make_folders(self, folder: Path) -> set[Path]:
        """Folders whose list of names changed: the parents of those that were made."""
        changed: set[Path] = set()
        missing = folder
        while not missing.is_dir():
            changed.add(missing.parent)
            missing = missing.parent
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        return changed

    def _flush_folders(self, folders: Iterable[Path]) -> None:
        # The deepest first: a name is durable only when all above it are.
        for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _write_beside(target: Path, data: bytes) -> Path:
    """Write and flush `data` under a temporary name in the folder of `target`."""
    temporary = target.parent / f"{TEMPORARY}{target.name}"
    # What a crash left may be a second name of a published file: unlink it, never truncate it.
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = os.open(temporary, flags, FILE_MODE)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return temporary
