"""Where damaged bytes go: out of the way of readers, never away, until the file is deleted."""

from collections.abc import Iterator
from typing import Final, Protocol

from artstore.core.model.ids import FileId, is_file_id
from artstore.storage.engine.durable_file import replace_file
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import Layout

QUARANTINE: Final = "quarantine"


class Aside(Protocol):
    def move(self, file_id: FileId, path: str) -> str | None:
        """Move what lies at `path`, relative to the root. Returns where it is now, likewise;
        `None` if there was nothing. Durable on return, and repeatable."""
        ...

    def keep(self, file_id: FileId, name: str, data: bytes) -> None:
        """A copy of something small that will be replaced."""
        ...

    def files(self) -> Iterator[FileId]:
        """Of which something lies here."""
        ...

    def forget(self, file_id: FileId) -> bool:
        """The file was deleted, and all of its bytes must be gone. False: there were none."""
        ...


class LocalAside:
    """`quarantine/<file id>/<name>`. Of an earlier damage nothing is overwritten: the same
    name gets a number."""

    def __init__(self, fs: Fs, layout: Layout) -> None:
        self._fs = fs
        self._root = layout.root
        self._directory = f"{layout.root}/{QUARANTINE}"

    def move(self, file_id: FileId, path: str) -> str | None:
        source = f"{self._root}/{path}"
        target = self._free_name(file_id, path.rpartition("/")[2])
        try:
            self._fs.rename(source, target)
        except FileNotFoundError:
            return None
        self._fs.flush_directory(target.rpartition("/")[0])
        self._fs.flush_directory(source.rpartition("/")[0])
        return target.removeprefix(f"{self._root}/")

    def keep(self, file_id: FileId, name: str, data: bytes) -> None:
        replace_file(self._fs, self._free_name(file_id, name), data)

    def files(self) -> Iterator[FileId]:
        if self._fs.exists(self._directory):
            for name in list(self._fs.names(self._directory)):
                if is_file_id(name):
                    yield FileId(name)

    def forget(self, file_id: FileId) -> bool:
        """The directory stays, empty: it says that there was something."""
        directory = f"{self._directory}/{file_id}"
        names = list(self._fs.names(directory)) if self._fs.exists(directory) else []
        for name in names:
            self._fs.unlink(f"{directory}/{name}")
        if names:
            self._fs.flush_directory(directory)
        return bool(names)

    def _free_name(self, file_id: FileId, name: str) -> str:
        directory = f"{self._directory}/{file_id}"
        make_durable(self._fs, self._directory)
        make_durable(self._fs, directory)
        wanted = f"{directory}/{name}"
        path, count = wanted, 1
        while self._fs.exists(path):
            path, count = f"{wanted}.{count}", count + 1
        return path


def make_durable(fs: Fs, directory: str) -> None:
    """One directory, if it is not there."""
    if not fs.exists(directory):
        fs.make_directory(directory)
        fs.flush_directory(directory.rpartition("/")[0])
