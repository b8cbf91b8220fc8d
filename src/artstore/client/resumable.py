"""Putting a large file in, as a flow: tus 1.0 (docs/reference/resumable-uploads.md).

What has arrived stays when a connection breaks, or this program: the next attempt asks for the
offset and sends the rest.
"""

from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson

from artstore.client.bodies import FileBody, MemoryBody
from artstore.client.calls import Backoff, Calls, parse
from artstore.client.messages import Answer, Flow, Progress, Request
from artstore.client.results import StoredFile
from artstore.core.errors import (
    ArtStoreError,
    DigestMismatch,
    InternalError,
    OffsetConflict,
    TooManyRequests,
    Unavailable,
    UnknownUpload,
    UploadBusy,
)
from artstore.core.model.file import DEFAULT_COLLECTION, FileRecord
from artstore.core.model.ids import file_id_time, parse_file_id

UPLOADS: Final = "/api/v1/uploads"
PARTS_BYTES_MIN: Final = 64 << 20
"""A smaller file is sent again as a whole: that costs less than the two requests more."""

_TUS: Final = {"tus-resumable": "1.0.0"}
_FILES: Final = "/api/v1/files/"
_MAY_PASS: Final = (Unavailable, TooManyRequests, UploadBusy, OffsetConflict, UnknownUpload)


class Resume:
    """Where an upload goes on. A subclass may keep the address for the next run."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url if url is not None and url.startswith(f"{UPLOADS}/") else None

    def begun(self, url: str) -> None:
        self.url = url


@dataclass(frozen=True, slots=True)
class Described:
    """What goes along with the bytes. `None` and empty leave it to the server."""

    filename: str
    content_type: str
    collection: str | None
    tags: tuple[str, ...]
    metadata: dict[str, object]
    retention: str | None


def upload_resumable(
    calls: Calls,
    body: FileBody | MemoryBody,
    described: Described,
    resume: Resume,
    progress: Progress | None,
) -> Flow[StoredFile]:
    """
    Raises:
        DigestMismatch: The file was changed while it was sent; nothing is kept.
    """
    backoff = Backoff()
    arrived_bytes = 0
    while True:
        try:
            offset, answer = yield from _offset(calls, body, described, resume)
            if offset > arrived_bytes:
                backoff.progressed()
                arrived_bytes = offset
            if "content-location" not in answer.headers:
                answer = yield from _send_rest(calls, body, resume, offset, progress)
            return (yield from _stored(calls, body, described, answer))
        except _MAY_PASS as failure:
            if isinstance(failure, UnknownUpload):
                resume.url = None  # it waited too long; begin again
                arrived_bytes = 0
            pause = backoff.after(failure)
        yield pause


def _offset(
    calls: Calls, body: FileBody | MemoryBody, described: Described, resume: Resume
) -> Flow[tuple[int, Answer]]:
    if resume.url is None:
        headers = {
            **_TUS,
            "upload-length": str(body.size_bytes),
            "upload-metadata": _metadata(described, body.sha256),
        }
        answer = yield from calls.call(Request("POST", UPLOADS, headers, b""))
        resume.begun(_header(answer, "location"))
        return 0, answer
    # As a POST: the answer to a real HEAD could not say why it is a refusal.
    headers = {**_TUS, "x-http-method-override": "HEAD"}
    answer = yield from calls.attempt(Request("POST", resume.url, headers, b""))
    return int(_header(answer, "upload-offset")), answer


def _send_rest(
    calls: Calls,
    body: FileBody | MemoryBody,
    resume: Resume,
    offset: int,
    progress: Progress | None,
) -> Flow[Answer]:
    assert resume.url is not None
    headers = {
        **_TUS,
        "content-type": "application/offset+octet-stream",
        "upload-offset": str(offset),
    }
    rest = _Rest(body, offset, progress)
    return (yield from calls.attempt(Request("PATCH", resume.url, headers, rest)))


def _stored(
    calls: Calls, body: FileBody | MemoryBody, described: Described, answer: Answer
) -> Flow[StoredFile]:
    location = _header(answer, "content-location")
    file_id = parse_file_id(location.removeprefix(_FILES))
    receipt = answer.headers.get("artstore-receipt")
    sha256 = body.sha256.hex()
    if receipt is not None and _signed_sha256(receipt) not in (None, sha256):
        raise DigestMismatch("the stored file differs from the one that was sent", file_id=file_id)
    record = yield from _record(calls, location)
    if record is not None and record.sha256 != sha256:
        raise DigestMismatch("the stored file differs from the one that was sent", file_id=file_id)
    return StoredFile(
        file_id=file_id,
        size=body.size_bytes or 0,
        sha256=sha256,
        location=location,
        collection=described.collection or DEFAULT_COLLECTION,
        original_filename=described.filename,
        content_type=record.content_type if record is not None else described.content_type,
        uploaded_at=record.uploaded_at if record is not None else file_id_time(file_id),
        receipt=receipt,
    )


def _record(calls: Calls, location: str) -> Flow[FileRecord | None]:
    """`None` while the catalogue does not know of it: the file is safe all the same."""
    try:
        return parse(FileRecord, (yield from calls.attempt(Request("GET", location))))
    except ArtStoreError:
        return None


def _metadata(described: Described, sha256: bytes) -> str:
    told = {
        "filename": described.filename,
        "filetype": described.content_type,
        "collection": described.collection,
        "retention": described.retention,
        "tags": orjson.dumps(described.tags).decode() if described.tags else None,
        "metadata": orjson.dumps(described.metadata).decode() if described.metadata else None,
        "sha256": sha256.hex(),
    }
    pairs = ((key, b64encode(value.encode()).decode()) for key, value in told.items() if value)
    return ",".join(f"{key} {value}" for key, value in pairs)


def _signed_sha256(receipt: str) -> str | None:
    """What the receipt says. Whether it is true is for `artstore receipt verify`."""
    try:
        payload = receipt.split(".")[1]
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str({digest["alg"]: digest["value"] for digest in claims["digests"]}["sha256"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None  # of another version; not a thing to refuse a stored file for


def _header(answer: Answer, name: str) -> str:
    value = answer.headers.get(name)
    if value is None:
        raise InternalError(f"the server's answer has no {name}")
    return value


class _Rest:
    """A body from some place on; tells how far it was read."""

    rewindable = True

    def __init__(self, body: FileBody | MemoryBody, offset: int, progress: Progress | None) -> None:
        self._body = body
        self._offset = offset
        self._progress = progress
        self.size_bytes: int | None = (body.size_bytes or 0) - offset

    def chunks(self) -> Iterator[bytes]:
        done_bytes = self._offset
        self._tell(done_bytes)
        for chunk in self._body.chunks(self._offset):
            yield chunk
            done_bytes += len(chunk)
            self._tell(done_bytes)

    def _tell(self, done_bytes: int) -> None:
        if self._progress is not None:
            self._progress(done_bytes, self._body.size_bytes)
