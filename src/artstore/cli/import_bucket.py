"""What lies in a bucket of an S3 store, read once, as it is sent."""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

import obstore
import typer
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import S3Store

from artstore.cli.import_journal import Version
from artstore.cli.import_run import Item
from artstore.cli.output import say
from artstore.client.bodies import SMALL_BYTES_MAX
from artstore.client.uploads import Details
from artstore.core.errors import DigestMismatch, SizeMismatch

CHUNK_BYTES: Final = 1 << 20
_MD5: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Credentials come from the environment, as of every program for S3 (`AWS_...`)."""

    url: str
    endpoint: str | None
    region: str

    def objects(self, details: Details) -> Iterator[Item]:
        """Raises `typer.BadParameter`: it is no address of a bucket."""
        place = urlsplit(self.url)
        if place.scheme != "s3" or not place.netloc:
            raise typer.BadParameter("give s3://BUCKET or s3://BUCKET/FOLDER", param_hint="URL")
        client_options = {"allow_http": (self.endpoint or "").startswith("http:")}
        store = S3Store(
            place.netloc,
            endpoint=self.endpoint,
            region=self.region,
            client_options=client_options,  # type: ignore[arg-type]
        )
        return _items(store, place.path.strip("/") or None, details)


def _items(store: S3Store, prefix: str | None, details: Details) -> Iterator[Item]:
    with reading():
        for page in obstore.list(store, prefix=prefix):
            for found in page:
                if found["size"] == 0 and _is_folder(store, found["path"]):
                    say(f"skipped: {found['path']}/: an empty object that stands for a folder")
                    continue
                yield _item(store, found["path"], found["size"], found["e_tag"] or "", details)


def _is_folder(store: S3Store, key: str) -> bool:
    """Programs that show a bucket as folders keep empty objects called `folder/`; the list
    leaves the slash out, and nothing is called as it says."""
    try:
        obstore.head(store, key)
    except FileNotFoundError:
        return True
    return False


def _item(store: S3Store, key: str, size: int, e_tag: str, details: Details) -> Item:
    metadata = {**details.metadata, "path": key}
    named = replace(details, filename=key.rpartition("/")[2], metadata=metadata)
    opening = partial(_open, store, key, size, e_tag)
    return Item(key, Version(size, e_tag), named, opening, partial(evidence, size, e_tag))


def _open(store: S3Store, key: str, size: int, e_tag: str) -> bytes | BinaryIO:
    stream = ObjectStream(store, key, e_tag)
    if size <= SMALL_BYTES_MAX:
        return b"".join(iter(partial(stream.read, CHUNK_BYTES), b""))
    return cast("BinaryIO", stream)


def evidence(size: int, e_tag: str, content: Any) -> dict[str, Any]:
    """What the bucket says of the object, compared with what was read of it.

    Raises:
        SizeMismatch, DigestMismatch.
    """
    if isinstance(content, bytes):
        read_bytes, md5 = len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()
    else:
        read_bytes, md5 = content.read_bytes, content.md5
    if read_bytes != size:
        raise SizeMismatch(f"the bucket lists {size} bytes and gave {read_bytes}")
    tag = e_tag.strip('"')
    if not _MD5.fullmatch(tag):
        return {"e_tag": e_tag, "e_tag_compared": False}  # of an object in parts
    if tag != md5:
        raise DigestMismatch(
            "the ETag of the object is not the MD5 of what was read: it is damaged, or encrypted "
            "with a key of its own"
        )
    return {"e_tag": e_tag, "e_tag_compared": True}


class ObjectStream:
    """An object as a stream that can only go back to its start."""

    _chunks: Iterator[Any] | None
    _sha256: "hashlib._Hash"
    _md5: "hashlib._Hash"
    read_bytes: int

    def __init__(self, store: S3Store, key: str, e_tag: str) -> None:
        self._store = store
        self._key = key
        self._options: Any = {"if_match": e_tag} if e_tag else {}
        self.name = key
        self._start()

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.read_bytes

    def seek(self, position: int) -> int:
        if position != 0:
            raise io.UnsupportedOperation("only to the start")
        self._start()
        return 0

    def read(self, _: int = -1) -> bytes:
        """The next chunk, however long it comes."""
        with reading():
            if self._chunks is None:
                found = obstore.get(self._store, self._key, options=self._options)
                self._chunks = iter(found.stream(min_chunk_size=CHUNK_BYTES))
            chunk = bytes(next(self._chunks, b""))
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self.read_bytes += len(chunk)
        return chunk

    def _start(self) -> None:
        self._chunks = None
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.read_bytes = 0


@contextmanager
def reading() -> Iterator[None]:
    """Failures of the store are failures to read."""
    try:
        yield
    except InvalidPathError as error:
        text = str(error).strip().splitlines()[0][:300]
        raise OSError(
            5, f"the list has a name that cannot be asked for; import other folders alone: {text}"
        ) from None
    except BaseError as error:
        text = str(error).strip().splitlines()[0][:300]
        raise OSError(5, f"the bucket cannot be read: {text}") from None
