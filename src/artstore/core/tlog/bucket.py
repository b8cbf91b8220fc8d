"""A log in a bucket of S3 or what speaks like it.

There is no folder to lock and nothing to flush: an object is there, whole and durable, or it is
not. What is published is created on the condition that its name is free, and the checkpoint is
replaced on the condition that it is still the one that was read last. So of two writers the
second stops, even if both believe that they are alone.

Full entry bundles are compressed (`packing`) and say so: `Content-Encoding: gzip`.
"""

import errno
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import ObjectStore

from artstore.core.tlog.errors import ObjectConflict, ObjectMissing
from artstore.core.tlog.folder import ASIDE
from artstore.core.tlog.packing import is_packed, pack, unpack

CONCURRENCY: Final = 16
"""One append writes a few objects; a long one, up to 64 tiles at once."""

_ENCODING: Final = "Content-Encoding"


class BucketStore:
    """Implements `LogStore`. Two writers are found out, not kept out: see `lock`."""

    def __init__(self, bucket: ObjectStore) -> None:
        self._bucket = bucket
        self._versions: dict[str, str | None] = {}

    def lock(self) -> Self:
        """Nobody is kept out: whoever leads by the database's lock writes, and should another
        one still do so too, the conditions of the bucket stop one of them."""
        self._versions.clear()
        return self

    def close(self) -> None:
        self._versions.clear()

    def read(self, path: str) -> bytes:
        with _reaching(path):
            result = obstore.get(self._bucket, path)
            data = bytes(result.bytes())
        return unpack(path, data) if result.attributes.get(_ENCODING) == "gzip" else data

    def publish(self, objects: Mapping[str, bytes]) -> None:
        with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="log-bucket") as pool:
            for _ in pool.map(self._create, objects.keys(), objects.values()):
                pass

    def replace(self, path: str, data: bytes) -> None:
        """Raises `ObjectConflict` when somebody else has replaced it meanwhile."""
        if path not in self._versions:
            self._versions[path] = self._version(path)
        version = self._versions.pop(path)
        try:
            with _reaching(path):
                put = obstore.put(
                    self._bucket,
                    path,
                    data,
                    mode={"e_tag": version} if version else "create",
                    use_multipart=False,
                )
        except (AlreadyExistsError, PreconditionError):
            # Our own attempt may have arrived although its answer did not.
            if self.read(path) != data:
                raise ObjectConflict(path) from None
        else:
            self._versions[path] = put["e_tag"]

    def remove_folder(self, folder: str) -> None:
        with _reaching(folder):
            listed = obstore.list_with_delimiter(self._bucket, prefix=folder)
            paths = [meta["path"] for meta in listed["objects"]]
            if paths:
                obstore.delete(self._bucket, paths)

    def set_aside(self, path: str) -> None:
        name = path.replace("/", "_")
        number = sum(other.startswith(f"{name}~") for other in self.names(ASIDE))
        try:
            with _reaching(path):
                obstore.copy(self._bucket, path, f"{ASIDE}/{name}~{number}", overwrite=True)
                obstore.delete(self._bucket, path)
        except ObjectMissing:
            return

    def names(self, folder: str) -> list[str]:
        with _reaching(folder):
            listed = obstore.list_with_delimiter(self._bucket, prefix=folder)
        paths = [*(meta["path"] for meta in listed["objects"]), *listed["common_prefixes"]]
        inside = f"{folder}/"
        # Some stores go on listing a folder that was emptied, as if it lay in itself.
        return list({path.removeprefix(inside) for path in paths if path.startswith(inside)})

    def _create(self, path: str, data: bytes) -> None:
        packed = is_packed(path)
        content = pack(data) if packed else data
        attributes = {_ENCODING: "gzip"} if packed else {}
        try:
            with _reaching(path):
                obstore.put(
                    self._bucket,
                    path,
                    content,
                    attributes={"Content-Type": "application/octet-stream", **attributes},
                    mode="create",
                    use_multipart=False,
                )
        except (AlreadyExistsError, PreconditionError):
            if self.read(path) != data:
                raise ObjectConflict(path) from None

    def _version(self, path: str) -> str | None:
        try:
            with _reaching(path):
                return obstore.head(self._bucket, path)["e_tag"]
        except ObjectMissing:
            return None


@contextmanager
def _reaching(path: str) -> Iterator[None]:
    """The client's failures in our words; unmet conditions pass through."""
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise ObjectMissing(path) from None
    except (AlreadyExistsError, PreconditionError):
        raise
    except BaseError as error:
        text = str(error).split("\n\n", maxsplit=1)[0]
        raise OSError(errno.EIO, f"the bucket of the log: {text}", path) from error
