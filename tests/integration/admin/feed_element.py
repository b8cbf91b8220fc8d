"""A storage element that tells whatever history a test wants, and fails on command.

It keeps records and changes in memory. The real element is used wherever no fault is needed
that it cannot be made to show.
"""

import asyncio
import hashlib
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import orjson
from aiohttp import web
from tests.support.issuer import listening
from tests.support.pki import Pki

from artstore.core.errors import (
    ArtStoreError,
    FileDeleted,
    PositionGone,
    RevisionConflict,
    Unavailable,
    UnknownFile,
)
from artstore.core.model.element import ElementEntry
from artstore.core.model.event import Change, ChangeType
from artstore.core.model.file import Deletion, Digest, FileChange, FileRecord, Uploader
from artstore.core.model.ids import FileIdSource
from artstore.core.web.problems import MEDIA_TYPE, status_of

IDS = FileIdSource()


def make_record(name: str = "letter.txt", **fields: Any) -> FileRecord:
    now = datetime.now(UTC)
    digest = Digest(alg="sha256", value=hashlib.sha256(name.encode()).hexdigest(), computed_at=now)
    given = {
        "file_id": IDS.new(now, os.urandom(10)),
        "collection": "default",
        "original_filename": name,
        "size": len(name),
        "content_type": "text/plain",
        "digests": (digest,),
        "uploaded_at": now,
        "uploaded_by": Uploader(subject="account:1", name="cli", via="ingester-1"),
        "revision": 1,
    }
    return FileRecord.model_validate({**given, **fields})


@dataclass
class FeedElement:
    """`async with FeedElement(pki, "edit-1") as element:` it listens at `element.url`."""

    pki: Pki
    element_id: str
    url: str = ""
    feed_id: str = "first"
    oldest_seq: int = 0
    records: dict[str, FileRecord] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    answers_as: str | None = None
    away: bool = False
    failure: ArtStoreError | None = None
    """Answered to the next change or deletion."""
    cut_after_lines: int | None = None
    """Each answer breaks off after so many lines, in the middle of the next."""
    pause_s: float = 0
    """Before each line."""
    repeat_lines: bool = False
    requests: list[str] = field(default_factory=list)
    feed_is_silent: bool = False
    """Changes happen, and the feed does not tell of them."""
    listing_gate: asyncio.Event | None = None
    """Listings wait here before they answer."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def head_seq(self) -> int:
        return self.changes[-1].seq if self.changes else self.oldest_seq

    @property
    def entry(self) -> ElementEntry:
        return ElementEntry(element_id=self.element_id, url=self.url)

    def create(self, name: str = "letter.txt", **fields: Any) -> FileRecord:
        return self._put(make_record(name, **fields), ChangeType.CREATED)

    def update(self, record: FileRecord, **fields: Any) -> FileRecord:
        fields["revision"] = record.revision + 1
        changed = FileRecord.model_validate({**record.model_dump(), **fields})
        return self._put(changed, ChangeType.UPDATED)

    def delete(self, record: FileRecord) -> FileRecord:
        deletion = Deletion(at=datetime.now(UTC), by="cli", reason="test")
        tombstone = FileRecord.model_validate(
            {**record.model_dump(), "revision": record.revision + 1, "deleted": deletion}
        )
        return self._put(tombstone, ChangeType.DELETED)

    def lose(self, record: FileRecord) -> None:
        """As a damaged disk would: no change tells of it."""
        del self.records[record.file_id]

    def restore_another_disk(self, feed_id: str) -> None:
        """The history begins anew; what is there is there."""
        self.feed_id = feed_id
        self.changes = []
        self._wake()

    def _put(self, record: FileRecord, kind: ChangeType) -> FileRecord:
        self.records[record.file_id] = record
        self.changes.append(
            Change(
                seq=self.head_seq + 1,
                type=kind,
                at=datetime.now(UTC),
                trace_id=os.urandom(16).hex(),
                record=record,
            )
        )
        self._wake()
        return record

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._faults])
        app.router.add_get("/api/v1/info", self._info)
        app.router.add_get("/api/v1/files", self._listing)
        app.router.add_get("/api/v1/changes", self._feed)
        app.router.add_get("/api/v1/files/{file_id}", self._read)
        app.router.add_patch("/api/v1/files/{file_id}", self._patch)
        app.router.add_delete("/api/v1/files/{file_id}", self._delete)
        self._stack = AsyncExitStack()
        self.url = await self._stack.enter_async_context(listening(app, self.pki, "storage"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @web.middleware
    async def _faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        try:
            if self.away:
                raise Unavailable
            answer: web.StreamResponse = await handler(request)
        except ArtStoreError as error:
            body = orjson.dumps({"code": error.code, "detail": error.detail, **error.fields})
            return web.Response(body=body, status=status_of(error), content_type=MEDIA_TYPE)
        return answer

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "element_id": self.answers_as or self.element_id,
                "mode": "edit",
                "version": "0",
                "writable": True,
                "capacity": {"total": 1 << 40, "used": 0, "free": 1 << 40, "reserved": 0},
                "feed_id": self.feed_id,
                "head_seq": self.head_seq,
                "oldest_seq": self.oldest_seq,
            }
        )

    async def _listing(self, request: web.Request) -> web.StreamResponse:
        if self.listing_gate is not None:
            await self.listing_gate.wait()
        after, limit = request.query.get("after", ""), int(request.query["limit"])
        ids = sorted(file_id for file_id in self.records if file_id > after)[:limit]
        return await self._send(request, [self.records[file_id].to_json() for file_id in ids], {})

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        if not self.oldest_seq <= after <= self.head_seq:
            raise PositionGone
        if after == self.head_seq:
            await self._wait(float(request.query["wait"]))
        told = [] if self.feed_is_silent else self.changes
        page = [change for change in told if change.seq > after][:limit]
        lines = [change.model_dump_json().encode() + b"\n" for change in page]
        headers = {
            "X-ArtStore-Feed-Id": self.feed_id,
            "X-ArtStore-Head-Seq": str(self.head_seq),
            "X-ArtStore-Position": str(page[-1].seq if page else after),
        }
        return await self._send(request, lines, headers)

    async def _wait(self, wait_s: float) -> None:
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), wait_s)
        except TimeoutError:
            return

    async def _send(
        self, request: web.Request, lines: list[bytes], headers: dict[str, str]
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", **headers})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        if self.repeat_lines:
            lines = [line for line in lines for _ in range(2)]
        for number, line in enumerate(lines):
            if number == self.cut_after_lines:
                await answer.write(line[: len(line) // 2])
                # What was sent should arrive: the break comes in the middle, not at the start.
                await asyncio.sleep(0.05)
                assert request.transport is not None
                request.transport.abort()
                return answer
            if self.pause_s:
                await asyncio.sleep(self.pause_s)
            await answer.write(line)
        await answer.write_eof()
        return answer

    async def _read(self, request: web.Request) -> web.Response:
        return web.Response(body=self._known(request).to_json())

    def _known(self, request: web.Request) -> FileRecord:
        record = self.records.get(request.match_info["file_id"])
        if record is None:
            raise UnknownFile
        return record

    async def _patch(self, request: web.Request) -> web.Response:
        self._fail_once()
        record = self._known(request)
        change = FileChange.model_validate_json(await request.read())
        if record.deleted:
            raise FileDeleted
        if change.expected_revision not in (None, record.revision):
            raise RevisionConflict
        fields = change.model_dump(exclude_none=True, exclude={"expected_revision"})
        return web.Response(body=self.update(record, **fields).to_json())

    async def _delete(self, request: web.Request) -> web.Response:
        self._fail_once()
        record = self._known(request)
        body = await request.json()
        assert body["by"]
        assert body["reason"]
        return web.Response(body=(record if record.deleted else self.delete(record)).to_json())

    def _fail_once(self) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
