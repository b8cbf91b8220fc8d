"""Calls of the ingester to other services, as bytes on the wire."""

import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from artstore.core.errors import ArtStoreError, InternalError, Unavailable, UnknownFile
from artstore.core.exchange import NotConnected
from artstore.core.http import Transport, failure_in
from artstore.core.model.admission import AdmissionRules
from artstore.core.model.batch import BATCH_TYPE, pack_file
from artstore.core.model.completion import COMPLETION_BYTES, pack_completion
from artstore.core.model.element import ElementInfo, RegisteredElement
from artstore.core.model.file import FileDraft, FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.page import Page
from artstore.ingester.services.content import Flowing, SmallFile
from artstore.ingester.services.flow import Flow, NotReached
from artstore.ingester.services.placement import ElementReport
from artstore.ingester.services.submission import encode_draft

FRAME_CONTENT_TYPE: Final = "application/vnd.artstore.file"
CREATED: Final = HTTPStatus.CREATED
_LENGTH: Final = struct.Struct(">I")


class Elements:
    """The HTTP side of storage elements and of their registry."""

    def __init__(self, transport: Transport, *, admin_url: str, timeout_s: float) -> None:
        """Args: `timeout_s`: longest time an element may take to accept bytes or to answer."""
        self._transport = transport
        self._admin_url = admin_url.rstrip("/")
        self._timeout_s = timeout_s

    async def registry(self) -> Sequence[RegisteredElement]:
        """All of it, page by page."""
        entries: list[RegisteredElement] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self._registry_page(cursor)
            entries += page.items
            if page.next_cursor == cursor:
                raise InternalError("the registry repeats a page")
            cursor = page.next_cursor
        return entries

    async def _registry_page(self, cursor: str) -> Page[RegisteredElement]:
        url = f"{self._admin_url}/api/v1/storage-elements"
        answer = await self._get_json(url, "admin", {"cursor": cursor})
        try:
            return Page[RegisteredElement].model_validate(answer)
        except ValidationError as error:
            raise InternalError from error

    async def info(self, entry: RegisteredElement) -> ElementInfo:
        answer = await self._get_json(f"{entry.url}/api/v1/info", "storage")
        try:
            return ElementInfo.model_validate(answer)
        except ValidationError as error:
            raise InternalError from error

    async def admission_rules(self) -> AdmissionRules:
        answer = await self._get_json(f"{self._admin_url}/api/v1/admission-rules", "admin")
        try:
            return AdmissionRules.model_validate(answer)
        except ValidationError as error:
            raise InternalError from error

    async def signing_keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = await self._get_json(
            f"{self._admin_url}/.well-known/jwks.json", "admin"
        )
        return keys

    async def _get_json(self, url: str, peer: str, params: Mapping[str, str] | None = None) -> Any:
        async with self._transport.request("GET", url, peer=peer, params=params) as response:
            body = await response.read()
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InternalError from error

    async def record(self, element: ElementReport, file_id: FileId) -> FileRecord | None:
        """`None`: it has no such file. Raises `Unavailable`: nobody knows."""
        url = f"{element.url}/api/v1/files/{file_id}"
        try:
            answer = await self._get_json(url, "storage")
        except UnknownFile:
            return None
        try:
            return FileRecord.model_validate(answer)
        except ValidationError as error:
            raise InternalError from error

    async def put(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: bytes
    ) -> FileRecord:
        """Store a small file. May be repeated: the same id with the same bytes is stored once.

        Raises:
            NotReached: Nothing was sent.
            Unavailable: The outcome is unknown.
            ArtStoreError: The element's refusal; it kept nothing.
        """
        answer = await self._send(
            "PUT",
            f"{element.url}/api/v1/files/{file_id}",
            FRAME_CONTENT_TYPE,
            frame_head(draft) + content,
        )
        return _record_in(answer)

    async def put_all(
        self, element: ElementReport, files: Sequence[SmallFile]
    ) -> list[FileRecord | ArtStoreError]:
        """Store small files with one request; what became of each, in order. May be repeated.

        Raises:
            NotReached: Nothing was sent.
            Unavailable: The outcome is unknown, for all of them.
            ArtStoreError: The element refused all of them; it kept nothing.
        """
        body = b"".join(
            pack_file(file.file_id, file.draft_json, file.trace_id, file.content) for file in files
        )
        answer = await self._send("POST", f"{element.url}/api/v1/files:batch", BATCH_TYPE, body)
        lines = answer.removesuffix(b"\n").split(b"\n")
        if len(lines) != len(files):
            raise InternalError
        return [_outcome_of(file, line) for file, line in zip(files, lines, strict=True)]

    async def _send(self, method: str, url: str, content_type: str, body: bytes) -> bytes:
        try:
            return await self._transport.exchange(
                method,
                url,
                peer="storage",
                content_type=content_type,
                body=body,
                timeout_s=self._timeout_s,
            )
        except Unavailable as error:
            if isinstance(error.__cause__, NotConnected):
                raise NotReached from error
            raise

    async def put_flowing(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: Flowing
    ) -> FileRecord:
        """Store a large file, never holding more than a chunk of it.

        The element is asked first and gets the body only if it wants it.

        Raises:
            NotReached: No byte was taken from `content`; another element may get it.
            ArtStoreError: The element's refusal, or the failure of `content` itself.
                The element kept nothing.
        """
        framed = _framed(content)
        flow = Flow(streamed_head(draft), framed, self._timeout_s)
        headers = {"Content-Type": FRAME_CONTENT_TYPE}
        if content.size is not None:
            size_bytes = flow.head_bytes + content.size + COMPLETION_BYTES
            headers["Content-Length"] = str(size_bytes)
        async with (
            flow.sent(),
            self._transport.request(
                "PUT",
                f"{element.url}/api/v1/files/{file_id}",
                peer="storage",
                headers=headers,
                data=flow.chunks(),
                expect100=True,
                timeout_s=self._timeout_s,
            ) as response,
        ):
            answer = await response.read()
        return _record_in(answer)


def _record_in(answer: bytes) -> FileRecord:
    try:
        return FileRecord.from_json(answer)
    except ValidationError as error:
        raise InternalError from error


class _Line(BaseModel):
    """What became of one file of a batch; the members of a failure stay as they are."""

    model_config = ConfigDict(extra="allow")

    status: int
    record: FileRecord | None = None


def _outcome_of(file: SmallFile, line: bytes) -> FileRecord | ArtStoreError:
    try:
        answer = orjson.loads(line)
        if answer["status"] == CREATED:
            return _new_record(file, answer["record"])
        found = _Line.model_validate(answer)
    except (ValueError, TypeError, LookupError) as error:
        raise InternalError from error
    if found.record is not None:
        return found.record
    return failure_in(found.status, found.model_extra or {}, "storage")


def _new_record(file: SmallFile, told: dict[str, Any]) -> FileRecord:
    """What an element made of a draft, which was checked here: only what it adds is read. To
    check the whole record again would be the dearest step of a small upload but its signature."""
    if told["file_id"] != file.file_id or told["size"] != len(file.content):
        raise ValueError("the record of another file")
    return FileRecord.first(
        file.draft,
        file_id=file.file_id,
        size=told["size"],
        sha256=str(told["digests"][0]["value"]),
        now=datetime.fromisoformat(told["uploaded_at"]),
    )


def frame_head(draft: FileDraft) -> bytes:
    """What stands before the content: the length of the draft's JSON, and the JSON."""
    head = encode_draft(draft)
    return _LENGTH.pack(len(head)) + head


def streamed_head(draft: FileDraft) -> bytes:
    """The same, of a content that a completion follows."""
    head = b'{"completion_follows":true,' + encode_draft(draft)[1:]
    return _LENGTH.pack(len(head)) + head


async def _framed(content: Flowing) -> AsyncIterator[bytes]:
    """The completion is held back until everything is known: without it, no file comes of it."""
    async for chunk in content.chunks:
        yield chunk
    yield pack_completion(await content.complete())
