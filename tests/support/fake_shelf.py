"""A storage element to read from, that fails on command.

Only for faults that a real element cannot be made to show; downloads are also tested with
the real one.
"""

import asyncio
import hashlib
import json
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from aiohttp import web
from tests.support.fake_element import record_of
from tests.support.issuer import listening
from tests.support.pki import Pki

from artstore.core.errors import FileDamaged, FileDeleted, UnknownFile
from artstore.core.model.element import ElementEntry
from artstore.core.model.file import Deletion, FileDraft, FileRecord, Uploader
from artstore.core.web.problems import MEDIA_TYPE, status_of
from artstore.core.web.ranges import parse_range

UPLOADER = Uploader(subject="account-1", name="archivist", via="api")


class Fault(StrEnum):
    NONE = "none"
    LOST = "lost"
    """404 for a file that should be there."""
    DOWN = "down"
    """503 to everything."""
    BROKEN = "broken"
    """500 to everything."""
    DAMAGED = "damaged"
    """The element itself finds that its bytes are not what was stored."""
    HANG = "hang"
    IGNORE_RANGE = "ignore range"
    """200 and the whole file, whatever was asked for."""
    OTHER_BYTES = "other bytes"
    """An ETag of something else."""
    CUT = "cut"
    """The connection breaks after half of the content."""


@dataclass
class FakeShelf:
    pki: Pki
    element_id: str
    fault: Fault = Fault.NONE
    files: dict[str, tuple[FileRecord, bytes]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    left: int = 0
    """Readers that left in the middle."""
    sent_bytes: int = 0
    url: str = ""

    @property
    def entry(self) -> ElementEntry:
        return ElementEntry(element_id=self.element_id, url=self.url)

    def put(self, file_id: str, content: bytes, **fields: Any) -> FileRecord:
        draft = FileDraft(
            original_filename=fields.pop("original_filename", "letter.txt"),
            uploaded_by=UPLOADER,
            **fields,
        )
        record = record_of(draft, file_id, hashlib.sha256(content).hexdigest(), len(content))
        self.files[file_id] = (record, content)
        return record

    def delete(self, file_id: str) -> FileRecord:
        record, content = self.files[file_id]
        deletion = Deletion(at=datetime.now(UTC), by="account-1", reason="test")
        record = record.model_copy(update={"deleted": deletion, "revision": record.revision + 1})
        self.files[file_id] = (record, content)
        return record

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/v1/files/{file_id}", self._record)
        app.router.add_get("/api/v1/files/{file_id}/content", self._content)
        self._stack = AsyncExitStack()
        self.url = await self._stack.enter_async_context(listening(app, self.pki, "storage"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _record(self, request: web.Request) -> web.StreamResponse:
        self.requests["record"] += 1
        found = await self._find(request)
        return found if isinstance(found, web.Response) else web.Response(body=found[0].to_json())

    async def _find(self, request: web.Request) -> tuple[FileRecord, bytes] | web.Response:
        match self.fault:
            case Fault.DOWN:
                raise web.HTTPServiceUnavailable
            case Fault.BROKEN:
                raise web.HTTPInternalServerError
            case Fault.HANG:
                await asyncio.sleep(3600)
        found = self.files.get(request.match_info["file_id"])
        if found is None or self.fault is Fault.LOST:
            return problem(UnknownFile())
        return found

    async def _content(self, request: web.Request) -> web.StreamResponse:
        self.requests["content"] += 1
        found = await self._find(request)
        if isinstance(found, web.Response):
            return found
        record, content = found
        if record.deleted is not None:
            return problem(FileDeleted())
        if self.fault is Fault.DAMAGED:
            return problem(FileDamaged())
        return await self._send(request, record, content)

    async def _send(
        self, request: web.Request, record: FileRecord, content: bytes
    ) -> web.StreamResponse:
        wanted = parse_range(request.headers.get("Range"), len(content))
        if self.fault is Fault.IGNORE_RANGE:
            wanted = None
        start, end = wanted or (0, len(content))
        etag = "f" * 64 if self.fault is Fault.OTHER_BYTES else record.sha256
        headers = {"ETag": f'"{etag}"', "Content-Length": str(end - start)}
        if wanted is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        response = web.StreamResponse(status=206 if wanted else 200, headers=headers)
        await response.prepare(request)
        stop = (start + end) // 2 if self.fault is Fault.CUT else end
        try:
            for position in range(start, stop, 1 << 16):
                chunk = content[position : min(stop, position + (1 << 16))]
                # What is written to a connection that is gone is dropped without a word, and
                # without a pause, until the loop has told that it is gone.
                await asyncio.sleep(0)
                await response.write(chunk)
                self.sent_bytes += len(chunk)
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
            raise
        if self.fault is Fault.CUT:
            assert request.transport is not None
            request.transport.close()
        return response


def problem(failure: Any) -> web.Response:
    body = json.dumps({"code": failure.code, "detail": failure.detail})
    return web.Response(text=body, status=status_of(failure), content_type=MEDIA_TYPE)
