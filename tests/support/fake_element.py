"""A storage element that fails on command. It stores correctly otherwise, in memory.

Only for faults that a real element cannot be made to show; everything else is tested with
the real one.
"""

import asyncio
import hashlib
import json
import struct
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from aiohttp import web
from tests.support.issuer import listening
from tests.support.pki import Pki

from artstore.core.model.batch import BatchDraft, BatchFile, split_batch
from artstore.core.model.completion import COMPLETION_BYTES, StreamedDraft, unpack_completion
from artstore.core.model.element import ElementEntry
from artstore.core.model.file import Digest, FileDraft, FileRecord
from artstore.core.web.problems import MEDIA_TYPE, status_of


class Fault(StrEnum):
    NONE = "none"
    REFUSE = "refuse"
    """Answer `failure` before a body is read."""
    REFUSE_LATE = "refuse late"
    """Read some of the body, then answer `failure`."""
    CUT = "cut"
    """Read some of the body, then cut the connection."""
    CUT_AFTER_STORING = "cut after storing"
    HANG = "hang"
    """Read nothing and answer nothing."""


@dataclass
class Arrived:
    draft: FileDraft
    content: bytes
    framed_bytes: int | None
    """Content-Length of the request, if it had one."""


@dataclass
class FakeElement:
    """`async with FakeElement(pki, "edit-1") as element:` it listens at `element.entry.url`."""

    pki: Pki
    element_id: str
    mode: str = "edit"
    priority: int = 100
    available_bytes: int = 1 << 50
    writable: bool = True
    faults: list[Fault] = field(default_factory=list)
    """One for each of the next uploads; none once they are used up."""
    failure: Exception | None = None
    arrived: dict[str, Arrived] = field(default_factory=dict)
    aborted: int = 0
    """Uploads that broke off before their end."""
    batched: dict[str, str | None] = field(default_factory=dict)
    """Trace ids of what came in batches, by file id."""
    requests: Counter[str] = field(default_factory=Counter)
    keep_content: bool = True
    url: str = ""

    @property
    def entry(self) -> ElementEntry:
        return ElementEntry(element_id=self.element_id, url=self.url, priority=self.priority)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/v1/info", self._info)
        route = app.router.add_resource("/api/v1/files/{file_id}")
        route.add_route("PUT", self._put, expect_handler=self._expected)
        app.router.add_post("/api/v1/files:batch", self._put_batch)
        self._stack = AsyncExitStack()
        self.url = await self._stack.enter_async_context(listening(app, self.pki, "storage"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _info(self, _: web.Request) -> web.Response:
        self.requests["info"] += 1
        info = {
            "element_id": self.element_id,
            "mode": self.mode,
            "version": "0",
            "writable": self.writable,
            "capacity": {
                "total": 1 << 51,
                "used": 0,
                "free": self.available_bytes,
                "reserved": 0,
            },
            "feed_id": "feed",
            "head_seq": 0,
            "oldest_seq": 0,
        }
        return web.json_response(info)

    async def _expected(self, request: web.Request) -> web.StreamResponse | None:
        fault = self.faults[0] if self.faults else Fault.NONE
        if fault is Fault.REFUSE:
            self.faults.pop(0)
            self.requests["refused"] += 1
            return self._refusal()
        if fault is Fault.HANG:
            self.faults.pop(0)
            await asyncio.sleep(3600)
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def _put(self, request: web.Request) -> web.StreamResponse:
        self.requests["put"] += 1
        fault = self.faults.pop(0) if self.faults else Fault.NONE
        match fault:
            case Fault.REFUSE:
                return self._refusal()
            case Fault.HANG:
                await asyncio.sleep(3600)
            case Fault.CUT | Fault.REFUSE_LATE:
                await request.content.readany()
                if fault is Fault.REFUSE_LATE:
                    return self._refusal()
                return self._cut(request)
        status, record = await self._store(request)
        if fault is Fault.CUT_AFTER_STORING:
            return self._cut(request)
        return web.Response(body=record.to_json(), status=status)

    async def _put_batch(self, request: web.Request) -> web.StreamResponse:
        """Faults as for one upload; `REFUSE_LATE` refuses every second file."""
        self.requests["batch"] += 1
        fault = self.faults.pop(0) if self.faults else Fault.NONE
        if fault is Fault.REFUSE:
            return self._refusal()
        files = split_batch(await request.read())
        if fault is Fault.CUT:
            return self._cut(request)
        lines = [
            self._store_in_batch(file, refused=fault is Fault.REFUSE_LATE and bool(number % 2))
            for number, file in enumerate(files)
        ]
        if fault is Fault.CUT_AFTER_STORING:
            return self._cut(request)
        return web.Response(body=b"".join(lines), content_type="application/x-ndjson")

    def _store_in_batch(self, file: BatchFile, *, refused: bool) -> bytes:
        if refused:
            failure: Any = self.failure
            line = {"status": status_of(failure), "code": failure.code, "detail": failure.detail}
            return json.dumps(line).encode() + b"\n"
        draft = BatchDraft.model_validate_json(file.head)
        self.batched[file.file_id] = draft.trace_id
        status = 200 if file.file_id in self.arrived else 201
        self.arrived[file.file_id] = Arrived(draft, file.content, None)
        sha256 = hashlib.sha256(file.content).hexdigest()
        record = record_of(draft, file.file_id, sha256, len(file.content))
        return b'{"status":%d,"record":%b}\n' % (status, record.to_json().rstrip())

    async def _store(self, request: web.Request) -> tuple[int, FileRecord]:
        try:
            (length,) = struct.unpack(">I", await request.content.readexactly(4))
            draft = StreamedDraft.model_validate_json(await request.content.readexactly(length))
            digest, size, kept, tail = hashlib.sha256(), 0, bytearray(), b""
            kept_back = COMPLETION_BYTES if draft.completion_follows else 0
            async for chunk in request.content.iter_any():
                rest = tail + chunk
                passed = rest[: max(0, len(rest) - kept_back)]
                tail = rest[len(passed) :]
                digest.update(passed)
                size += len(passed)
                if self.keep_content:
                    kept += passed
            completed = unpack_completion(tail).fill_in(draft) if kept_back else draft
        except BaseException:
            self.aborted += 1
            raise
        file_id = request.match_info["file_id"]
        status = 200 if file_id in self.arrived else 201
        self.arrived[file_id] = Arrived(completed, bytes(kept), request.content_length)
        return status, record_of(completed, file_id, digest.hexdigest(), size)

    def _refusal(self) -> web.Response:
        assert self.failure is not None
        failure: Any = self.failure
        body = json.dumps({"code": failure.code, "detail": failure.detail, **failure.fields})
        return web.Response(text=body, status=status_of(failure), content_type=MEDIA_TYPE)

    def _cut(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


def record_of(draft: FileDraft, file_id: str, sha256: str, size: int) -> FileRecord:
    now = datetime.now(UTC)
    return FileRecord(
        file_id=file_id,
        collection=draft.collection,
        original_filename=draft.original_filename,
        size=size,
        content_type=draft.content_type,
        declared_content_type=draft.declared_content_type,
        digests=(Digest(alg="sha256", value=sha256, computed_at=now),),
        uploaded_at=now,
        uploaded_by=draft.uploaded_by,
        revision=1,
        retention=draft.retention,
        tags=draft.tags,
        metadata=draft.metadata,
        scan=draft.scan,
    )
