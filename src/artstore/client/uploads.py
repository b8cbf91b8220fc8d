"""Putting a file in, as a flow."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Final

import orjson

from artstore.client import resumable
from artstore.client.bodies import (
    SMALL_BYTES_MAX,
    Content,
    FileBody,
    MemoryBody,
    SeenFile,
    Source,
    StreamBody,
    open_content,
    repr_digest,
)
from artstore.client.calls import Calls, parse, query_target
from artstore.client.messages import Body, Flow, Progress, Request, Work
from artstore.client.results import StoredFile
from artstore.client.resumable import Described, Resume, upload_resumable
from artstore.core.errors import DigestMismatch, InvalidRequest
from artstore.core.model.file import DEFAULT_CONTENT_TYPE

FILES: Final = "/api/v1/files"


@dataclass(frozen=True, slots=True)
class Details:
    """What the uploader says of a file. `None` and empty leave it to the server."""

    filename: str | None = None
    """Needed for bytes and nameless streams; otherwise the name of the file."""
    collection: str | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    retention: str | None = None
    content_type: str | None = None


def upload(
    calls: Calls,
    source: Source,
    details: Details,
    progress: Progress | None = None,
    *,
    idempotency_key: str | None = None,
    resume: Resume | None = None,
) -> Flow[StoredFile]:
    """Store one file, once, however often it must be sent.

    Raises:
        OSError: The source cannot be read.
        SizeMismatch: A file became shorter while it was sent; nothing is kept.
        DigestMismatch: A file was changed while it was sent; nothing is kept. For a stream
            that cannot be rewound: it is kept, but not as it was read; `file_id` names it.
    """
    filename = details.filename or _name_of(source)
    if isinstance(source, bytes) and len(source) <= SMALL_BYTES_MAX:
        content: Content = source  # not worth a thread
    else:
        content = yield Work(lambda: open_content(source))
    if isinstance(content, FileBody | MemoryBody) and _is_large(content):
        described = _described(filename, details)
        resume = resume or Resume()
        return (yield from upload_resumable(calls, content, described, resume, progress))
    yield from calls.token()  # a key is made by the server's clock, which comes with the token
    key = idempotency_key or calls.keys.new()
    request = _request(content, filename, details, progress, key)
    stored = parse(StoredFile, (yield from calls.call(request)))
    if progress is not None and isinstance(content, bytes):
        progress(len(content), len(content))
    if isinstance(content, StreamBody) and stored.sha256 != content.sha256.hex():
        raise DigestMismatch("the stored file differs from the stream", file_id=stored.file_id)
    return stored


def _is_large(content: FileBody | MemoryBody) -> bool:
    return (content.size_bytes or 0) >= resumable.PARTS_BYTES_MIN


def _described(filename: str, details: Details) -> Described:
    return Described(
        filename,
        details.content_type or _guessed_type(filename),
        details.collection,
        tuple(details.tags),
        dict(details.metadata),
        details.retention,
    )


def _request(
    content: Content, filename: str, details: Details, progress: Progress | None, key: str
) -> Request:
    headers = {"content-type": details.content_type or _guessed_type(filename)}
    if not isinstance(content, StreamBody) or content.rewindable:
        headers["idempotency-key"] = f'"{key}"'
    match content:
        case bytes():
            headers["repr-digest"] = repr_digest(hashlib.sha256(content).digest())
        case FileBody() | MemoryBody():
            headers["repr-digest"] = repr_digest(content.sha256)
    if progress is not None and not isinstance(content, bytes):
        return Request("POST", _target(filename, details), headers, _Watched(content, progress))
    return Request("POST", _target(filename, details), headers, content)


def _target(filename: str, details: Details) -> str:
    parameters = [("filename", filename)]
    if details.collection is not None:
        parameters.append(("collection", details.collection))
    parameters.extend(("tag", tag) for tag in details.tags)
    if details.retention is not None:
        parameters.append(("retention", details.retention))
    if details.metadata:
        parameters.append(("metadata", orjson.dumps(details.metadata).decode()))
    return query_target(FILES, parameters)


def _name_of(source: Source) -> str:
    if isinstance(source, SeenFile):
        source = source.path
    name = source if isinstance(source, (str, Path)) else getattr(source, "name", None)
    if isinstance(name, (str, Path)) and Path(name).name:
        return printable_name(Path(name).name)
    raise InvalidRequest("a name is needed for this source", field="filename")


def printable_name(name: str) -> str:
    """The name as valid Unicode. Linux allows any bytes; those that are not UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _guessed_type(filename: str) -> str:
    guessed, encoding = guess_type(filename, strict=False)
    if encoding is not None:
        return f"application/{encoding}"  # the type guessed is that of the unpacked content
    return guessed or DEFAULT_CONTENT_TYPE


class _Watched:
    """A body that tells how far it was read."""

    def __init__(self, body: Body, progress: Progress) -> None:
        self._body = body
        self._progress = progress

    @property
    def size_bytes(self) -> int | None:
        return self._body.size_bytes

    @property
    def rewindable(self) -> bool:
        return self._body.rewindable

    def chunks(self) -> Iterator[bytes]:
        done_bytes = 0
        for chunk in self._body.chunks():
            yield chunk
            # The consumer has taken the chunk when it asks for the next one.
            done_bytes += len(chunk)
            self._progress(done_bytes, self._body.size_bytes)
