"""A server that behaves as the public API's contract says, and fails on demand.

It is spoken to over real TLS connections. `faults` are used up one by one, each by the
first request it matches.
"""

import asyncio
import hashlib
import json
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_bytes, token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvicorn

from artstore.core.model.ids import FileIdSource
from artstore.core.tls import TlsFiles

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

CLIENT_ID = "cli"
CLIENT_SECRET = "correct horse battery staple"
UPLOADS = "/api/v1/uploads"
CHUNK_BYTES = 64 * 1024
UPLOAD_BYTES_MAX = 1 << 30
KEPT_BYTES_MAX = 64 << 20
"""Of a longer upload only digest and length are kept."""


@dataclass
class Fault:
    method: str
    path: str
    """Any path that contains it."""
    status: int | None = None
    """Answer with this status instead."""
    code: str = "unavailable"
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    cut_after_bytes: int | None = None
    """Of the answer's body; the connection is then cut."""
    cut_before_answer: bool = False
    """The request is carried out, but its answer is lost."""
    flip_byte: bool = False
    """Damage the first byte of the answer's body."""
    plain: bool = False
    """Not a problem document: as from a proxy on the way."""
    read_body: bool = True


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass
class StoredContent:
    record: dict[str, Any]
    content: bytes


class FakeArtStore:
    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, StoredContent] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.tokens: list[str] = []
        self.token_lifetime_s = 1800
        self.ignore_ranges = False
        self.objects: dict[str, Any] = {}
        """Answers of other routes, by path."""
        self.bodies: dict[str, bytes] = {}
        """What was sent to them."""
        self._ids = FileIdSource()

    def reset(self) -> None:
        self.files.clear()
        self.faults.clear()
        self.seen.clear()
        self.tokens.clear()
        self.token_lifetime_s = 1800
        self.ignore_ranges = False
        self.objects.clear()
        self.bodies.clear()

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and path in seen.path]

    def keep(self, content: bytes, filename: str = "letter.txt", **more: Any) -> str:
        """Store a file without a request."""
        file_id = self._ids.new(datetime.now(UTC), token_bytes(10))
        record = {
            "schema_version": 1,
            "file_id": file_id,
            "collection": "default",
            "original_filename": filename,
            "size": len(content),
            "content_type": "text/plain",
            "digests": [_digest(hashlib.sha256(content).hexdigest())],
            "uploaded_at": datetime.now(UTC).isoformat(),
            "uploaded_by": {"subject": "1", "name": CLIENT_ID, "via": "api"},
            "revision": 1,
            **more,
        }
        self.files[file_id] = StoredContent(record, content)
        return file_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        target = scope["raw_path"].decode()
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen = Seen(scope["method"], target, headers)
        self.seen.append(seen)
        fault = self._fault(seen)
        exchange = Exchange(seen, receive, send, fault)
        if fault is not None and fault.status is not None:
            if fault.read_body:
                await exchange.body()
            await exchange.problem(fault.status, fault.code, fault.headers, **fault.fields)
            return
        await self._route(exchange)

    def _fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            if fault.method == seen.method and fault.path in seen.path:
                self.faults.remove(fault)
                return fault
        return None

    async def _route(self, exchange: "Exchange") -> None:
        seen = exchange.seen
        if seen.path == "/api/v1/auth/token":
            await self._token(exchange)
        elif seen.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            await exchange.body()
            await exchange.problem(401, "invalid_token")
        elif seen.method == "POST" and seen.path == "/api/v1/files":
            await self._upload(exchange)
        elif seen.path.startswith(UPLOADS):
            await self._resumable(exchange)
        elif seen.path in ("/api/v1/files", "/api/v1/search"):
            await self._page(exchange)
        elif seen.path in self.objects:
            self.bodies[seen.path] = await exchange.body()
            await exchange.json(200, self.objects[seen.path])
        elif seen.path == "/api/v1/echo":
            body = await exchange.body()
            await exchange.json(200, {"query": seen.query, "body": json.loads(body or b"null")})
        else:
            await self._file(exchange)

    async def _token(self, exchange: "Exchange") -> None:
        form = parse_qs((await exchange.body()).decode())
        if form.get("client_secret") != [CLIENT_SECRET] or form.get("client_id") != [CLIENT_ID]:
            await exchange.problem(401, "invalid_credentials")
            return
        self.tokens.append(token_hex(16))
        await exchange.json(
            200,
            {
                "access_token": self.tokens[-1],
                "token_type": "Bearer",
                "expires_in": self.token_lifetime_s,
                "scope": "files:read files:write",
            },
        )

    async def _upload(self, exchange: "Exchange") -> None:
        query = exchange.seen.query
        declared = int(exchange.seen.headers.get("content-length", "0"))
        if declared > UPLOAD_BYTES_MAX:
            await exchange.problem(413, "body_too_large")
            return
        content, digest, size = await exchange.content()
        encoded = f"sha-256=:{b64encode(digest.digest()).decode()}:"
        if exchange.seen.headers.get("repr-digest", encoded) != encoded:
            await exchange.problem(422, "digest_mismatch")
            return
        file_id = self.keep(
            content,
            query["filename"][0],
            size=size,
            digests=[_digest(digest.hexdigest())],
            collection=query.get("collection", ["default"])[0],
            tags=query.get("tag", []),
            metadata=json.loads(query.get("metadata", ["{}"])[0]),
            content_type=exchange.seen.headers["content-type"],
        )
        record = self.files[file_id].record
        stored = {key: record[key] for key in _UPLOAD_FIELDS}
        stored["sha256"] = record["digests"][0]["value"]
        stored["location"] = f"/api/v1/files/{file_id}"
        await exchange.json(201, stored)

    async def _resumable(self, exchange: "Exchange") -> None:
        """A large file in one part; parts are tested with the real server."""
        if exchange.seen.method == "POST":
            await exchange.body()
            if int(exchange.seen.headers["upload-length"]) > UPLOAD_BYTES_MAX:
                await exchange.problem(413, "body_too_large")
                return
            await exchange.answer(201, {"location": f"{UPLOADS}/1"}, b"")
            return
        content, digest, size = await exchange.content()
        file_id = self.keep(content, size=size, digests=[_digest(digest.hexdigest())])
        await exchange.answer(204, {"content-location": f"/api/v1/files/{file_id}"}, b"")

    async def _page(self, exchange: "Exchange") -> None:
        """Newest first; the cursor is the last id."""
        query = exchange.seen.query
        limit = int(query["limit"][0])
        cursor = query.get("cursor", ["g"])[0]
        sha256 = query.get("sha256", [None])[0]
        ids = sorted(
            (
                file_id
                for file_id, stored in self.files.items()
                if file_id < cursor and sha256 in (None, stored.record["digests"][0]["value"])
            ),
            reverse=True,
        )
        items = [self.files[file_id].record for file_id in ids[:limit]]
        next_cursor = ids[limit - 1] if len(ids) > limit else None
        await exchange.json(200, {"items": items, "next_cursor": next_cursor})

    async def _file(self, exchange: "Exchange") -> None:
        parts = exchange.seen.path.split("/")
        body = await exchange.body()
        stored = self.files.get(parts[4]) if len(parts) > 4 else None
        if stored is None:
            await exchange.problem(404, "unknown_file")
        elif parts[5:] == ["content"]:
            await self._content(exchange, stored)
        else:
            record = stored.record
            if exchange.seen.method == "PATCH":
                record.update(json.loads(body), revision=record["revision"] + 1)
            if exchange.seen.method == "DELETE":
                now = datetime.now(UTC).isoformat()
                record["deleted"] = {"at": now, "by": CLIENT_ID, "reason": "asked"}
            await exchange.json(200, record)

    async def _content(self, exchange: "Exchange", stored: StoredContent) -> None:
        etag = f'"{hashlib.sha256(stored.content).hexdigest()}"'
        headers = {"etag": etag, "content-type": "text/plain", "accept-ranges": "bytes"}
        asked = exchange.seen.headers.get("range")
        if self.ignore_ranges:
            asked = None
        if asked and exchange.seen.headers.get("if-range", etag) == etag:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            size = len(stored.content)
            headers["content-range"] = f"bytes {start}-{size - 1}/{size}"
            await exchange.answer(206, headers, stored.content[start:])
        else:
            await exchange.answer(200, headers, stored.content)


_UPLOAD_FIELDS = (
    "file_id",
    "size",
    "collection",
    "original_filename",
    "content_type",
    "uploaded_at",
)


def _digest(sha256: str) -> dict[str, str]:
    return {"alg": "sha256", "value": sha256, "computed_at": datetime.now(UTC).isoformat()}


class Exchange:
    """One request and its answer."""

    def __init__(self, seen: Seen, receive: Receive, send: Send, fault: Fault | None) -> None:
        self.seen = seen
        self._receive = receive
        self._send = send
        self._fault = fault or Fault("", "")

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def content(self) -> tuple[bytes, "hashlib._Hash", int]:
        """What was sent, up to `KEPT_BYTES_MAX`; its digest and length."""
        digest = hashlib.sha256()
        content = bytearray()
        size = 0
        async for chunk in self.chunks():
            digest.update(chunk)
            size += len(chunk)
            content += chunk if size <= KEPT_BYTES_MAX else b""
        return bytes(content), digest, size

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def json(self, status: int, body: Any) -> None:
        await self.answer(status, {"content-type": "application/json"}, json.dumps(body).encode())

    async def problem(
        self, status: int, code: str, headers: dict[str, str] | None = None, **fields: Any
    ) -> None:
        trace_id = self.seen.headers["traceparent"].split("-")[1]
        content_type = "text/html" if self._fault.plain else "application/problem+json"
        all_headers = {
            "content-type": content_type,
            "x-correlation-id": trace_id,
            **(headers or {}),
        }
        problem = {"code": code, "detail": f"the detail of {code}", "status": status, **fields}
        body = b"<html>" if self._fault.plain else json.dumps(problem).encode()
        await self.answer(status, all_headers, body)

    async def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self._fault.cut_before_answer:
            self._cut()
            return
        headers = {**headers, "content-length": str(len(body))}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        if self.seen.method == "HEAD":
            body = b""
        if self._fault.flip_byte:
            body = bytes([body[0] ^ 1]) + body[1:]
        for start in range(0, len(body), CHUNK_BYTES):
            cut_at = self._fault.cut_after_bytes
            if cut_at is not None and start >= cut_at:
                # Let the client read what was sent before it meets the end.
                await asyncio.sleep(0.05)
                self._cut()
                return
            chunk = body[start : start + CHUNK_BYTES]
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    def _cut(self) -> None:
        """As a pulled cable, not as a polite end."""
        self._send.__self__.transport.abort()  # type: ignore[attr-defined]


@contextmanager
def serving(fake: FakeArtStore, tls: TlsFiles) -> Iterator[None]:
    config = uvicorn.Config(
        fake,
        host="127.0.0.1",
        port=0,
        lifespan="off",
        log_level="critical",
        ssl_certfile=tls.certificate,
        ssl_keyfile=tls.key,
        loop="asyncio",
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        fake.url = f"https://127.0.0.1:{port}"
        yield
    finally:
        server.should_exit = True
        thread.join()
