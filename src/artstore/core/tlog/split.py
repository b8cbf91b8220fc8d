"""A log in two places: what never changes in one that can only be added to (a bucket with object
lock, a WORM medium), the edge and the checkpoint, which do change, in another.

Full tiles, full entry bundles and time stamps are final. Partial tiles are superseded within
seconds; on a place that keeps everything for years they would pile up.
"""

from collections.abc import Mapping
from typing import Self

from artstore.core.tlog.errors import ObjectMissing
from artstore.core.tlog.store import LogStore, WritableStore


class SplitStore:
    """Implements `LogStore`."""

    def __init__(self, changing: WritableStore, lasting: LogStore) -> None:
        self._changing = changing
        self._lasting = lasting

    def lock(self) -> Self:
        self._changing.lock()
        return self

    def close(self) -> None:
        self._changing.close()

    def read(self, path: str) -> bytes:
        try:
            return self._place(path).read(path)
        except ObjectMissing:
            # Written before the log had a second place.
            return self._changing.read(path)

    def publish(self, objects: Mapping[str, bytes]) -> None:
        for store in (self._lasting, self._changing):
            here = {path: data for path, data in objects.items() if self._place(path) is store}
            if here:
                store.publish(here)

    def replace(self, path: str, data: bytes) -> None:
        self._changing.replace(path, data)

    def remove_folder(self, folder: str) -> None:
        self._changing.remove_folder(folder)

    def set_aside(self, path: str) -> None:
        self._place(path).set_aside(path)

    def names(self, folder: str) -> list[str]:
        return list({*self._lasting.names(folder), *self._changing.names(folder)})

    def _place(self, path: str) -> LogStore:
        is_final = path.startswith(("tile/", "stamps/")) and ".p/" not in path
        return self._lasting if is_final else self._changing
