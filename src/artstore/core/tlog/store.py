"""Where the files of a log lie. A small contract: a disk, a bucket or a dictionary will do."""

from collections.abc import Mapping
from typing import Protocol, Self

from artstore.core.tlog.errors import ObjectConflict, ObjectMissing


class LogStore(Protocol):
    """Objects under names such as `tile/0/x001/234`. Every call blocks.

    All calls may be repeated. After any failure of a write the outcome is unknown: nothing is
    tried again by the store, and the log stops (see `Log`).
    """

    def read(self, path: str) -> bytes:
        """Raises `ObjectMissing`."""
        ...

    def publish(self, objects: Mapping[str, bytes]) -> None:
        """Make new objects durable, contents and names, before returning. A crash leaves any
        part of them, each one whole.

        An object that is there already with the same bytes is left as it is.

        Raises:
            ObjectConflict: A name is taken by other bytes, which were not touched.
        """
        ...

    def replace(self, path: str, data: bytes) -> None:
        """Put `data` under a name that may change; a crash leaves the old or the new. Durable
        on return."""
        ...

    def remove_folder(self, folder: str) -> None:
        """Forget a folder without folders in it, and its objects: others make them superfluous.
        No error when it is gone."""
        ...

    def set_aside(self, path: str) -> None:
        """Free the name; the bytes are kept where no reader of the log looks."""
        ...

    def names(self, folder: str) -> list[str]:
        """What a folder holds, objects and folders, by name; empty when there is no folder."""
        ...


class WritableStore(LogStore, Protocol):
    """A store that lets one writer in at a time."""

    def lock(self) -> Self:
        """Until `close`, or until this process ends. Raises `LogStopped` when others write."""
        ...

    def close(self) -> None: ...


class MemoryStore:
    """For tests, and for logs that need not outlive the process."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.aside: list[tuple[str, bytes]] = []

    def read(self, path: str) -> bytes:
        try:
            return self.objects[path]
        except KeyError:
            raise ObjectMissing(path) from None

    def publish(self, objects: Mapping[str, bytes]) -> None:
        for path, data in objects.items():
            if self.objects.setdefault(path, data) != data:
                raise ObjectConflict(path)

    def replace(self, path: str, data: bytes) -> None:
        self.objects[path] = data

    def remove_folder(self, folder: str) -> None:
        for name in self.names(folder):
            del self.objects[f"{folder}/{name}"]

    def set_aside(self, path: str) -> None:
        data = self.objects.pop(path, None)
        if data is not None:
            self.aside.append((path, data))

    def names(self, folder: str) -> list[str]:
        prefix = f"{folder}/"
        inside = (path[len(prefix) :] for path in self.objects if path.startswith(prefix))
        return list({path.partition("/")[0] for path in inside})
