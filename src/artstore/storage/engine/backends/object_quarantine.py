"""Damaged bytes in an object store: moved to keys of their own, where nobody reads them."""

from collections.abc import Iterator
from typing import Final

import obstore
from obstore.store import ObjectStore

from artstore.core.model.ids import FileId, is_file_id
from artstore.storage.engine.backends.object_content import copy_object
from artstore.storage.engine.backends.object_failures import reaching

QUARANTINE_KEY: Final = "quarantine"


class ObjectQuarantine:
    """Every call raises `StoreAway` when the store is."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def move(self, file_id: FileId, key: str) -> str | None:
        """Returns the new key; `None` if there was nothing."""
        target = self._free_key(file_id, key.rpartition("/")[2])
        try:
            with reaching():
                size = obstore.head(self._store, key)["size"]
            copy_object(self._store, key, target, file_id=file_id, size=size, sha256=None)
        except FileNotFoundError:
            return None
        with reaching():
            obstore.delete(self._store, key)
        return target

    def keep(self, file_id: FileId, name: str, data: bytes) -> None:
        """A copy of something small that will be replaced."""
        with reaching():
            obstore.put(self._store, self._free_key(file_id, name), data, use_multipart=False)

    def files(self) -> Iterator[FileId]:
        """Of which something lies here; each once."""
        last = ""
        for key in self._keys(QUARANTINE_KEY):
            name = key.split("/")[1]
            if name != last and is_file_id(name):
                yield FileId(name)
            last = name

    def forget(self, file_id: FileId) -> bool:
        """False: there was nothing."""
        keys = list(self._keys(f"{QUARANTINE_KEY}/{file_id}"))
        for key in keys:
            with reaching():
                obstore.delete(self._store, key)
        return bool(keys)

    def _free_key(self, file_id: FileId, name: str) -> str:
        wanted = f"{QUARANTINE_KEY}/{file_id}/{name}"
        taken = set(self._keys(f"{QUARANTINE_KEY}/{file_id}"))
        key, count = wanted, 1
        while key in taken:
            key, count = f"{wanted}.{count}", count + 1
        return key

    def _keys(self, folder: str) -> Iterator[str]:
        with reaching():
            for batch in obstore.list(self._store, folder, chunk_size=1000):
                for entry in batch:
                    yield entry["path"]
