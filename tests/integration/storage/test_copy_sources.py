"""Goal: whatever another element sends, nothing is kept that is not right.

Method: a real element is told to copy from a source made for the test, which lies.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.support.copying import ask_for_copies, staged, stored_parts
from tests.support.module_process import module_process
from tests.support.pki import Pki
from tests.support.stepped_element import FixedClock, Ids, make_record
from tests.support.storage_process import (
    FRAME,
    StorageProcess,
    framed,
    new_id,
    session,
    storage_process,
)

from artstore.core.http import Transport
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.tls import TlsFiles, client_context, server_context, server_name
from artstore.storage.services.source import SourceElement, SourceFailed

MIB = 1 << 20
Answer = Callable[[web.Request, FileRecord, bytes], Awaitable[web.StreamResponse]]


class LyingSource:
    """Serves one file's record as it is, and its content as `answer` likes."""

    def __init__(self, content: bytes) -> None:
        clock = FixedClock()
        self.record = make_record(Ids(clock).new(), content, clock)
        self.record = self.record.model_copy(update={"file_id": new_id()})
        self.record_json = self.record.to_json()
        self.content = content

    @contextlib.asynccontextmanager
    async def serving(self, answer: Answer, tls: TlsFiles | None = None) -> AsyncIterator[str]:
        async def record(_: web.Request) -> web.Response:
            return web.Response(body=self.record_json, content_type="application/json")

        async def content(request: web.Request) -> web.StreamResponse:
            return await answer(request, self.record, self.content)

        app = web.Application()
        app.router.add_get("/api/v1/files/{id}", record)
        app.router.add_get("/api/v1/files/{id}/content", content)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        context = server_context(tls) if tls else None
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def honest(_: web.Request, record: FileRecord, content: bytes) -> web.StreamResponse:
    return web.Response(body=content)


async def longer(_: web.Request, record: FileRecord, content: bytes) -> web.StreamResponse:
    return web.Response(body=content + b"x")


async def shorter(_: web.Request, record: FileRecord, content: bytes) -> web.StreamResponse:
    return web.Response(body=content[:-1])


async def another(_: web.Request, record: FileRecord, content: bytes) -> web.StreamResponse:
    return web.Response(body=content[:-1] + bytes([content[-1] ^ 1]))


async def without_end(request: web.Request, record: FileRecord, _: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(bytes(MIB))
    return response


async def cut(request: web.Request, record: FileRecord, content: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(content))})
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    assert request.transport is not None
    request.transport.abort()
    return response


async def refused(_: web.Request, record: FileRecord, content: bytes) -> web.StreamResponse:
    raise web.HTTPBadGateway


async def elsewhere(_: web.Request, record: FileRecord, content: bytes) -> web.StreamResponse:
    """Into the network that only the element can reach, if it followed."""
    raise web.HTTPFound("http://169.254.169.254/latest")


LIES = [
    (longer, "file_damaged"),
    (shorter, "file_damaged"),
    (another, "file_damaged"),
    (without_end, "file_damaged"),
    (cut, "unavailable"),
    (refused, "unavailable"),
    (elsewhere, "file_damaged"),
]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StorageProcess, Path]]:
    root = tmp_path_factory.mktemp("target") / "element"
    with storage_process(root, LOG_LEVEL="warning") as element:
        yield element, root


@pytest.mark.parametrize("size", [5000, 3 * MIB], ids=["small", "large"])
@pytest.mark.parametrize(("lie", "code"), LIES, ids=[lie.__name__ for lie, _ in LIES])
async def test_nothing_is_kept_of_a_lie(
    target: tuple[StorageProcess, Path], lie: Answer, code: str, size: int
) -> None:
    element, root = target
    source = LyingSource(os.urandom(size))
    file_id = source.record.file_id
    async with session() as http:
        async with source.serving(lie) as url:
            (line,) = await ask_for_copies(http, element, url, [file_id])
        assert (line["code"], line["side"]) == (code, "source")
        assert stored_parts(root, file_id) == {}
        assert staged(root, [file_id]) == []
        async with source.serving(honest) as url:
            (line,) = await ask_for_copies(http, element, url, [file_id])
        assert line["status"] == 201


def of_another_file(source: LyingSource) -> bytes:
    return source.record.model_copy(update={"file_id": new_id()}).to_json()


def written_otherwise(source: LyingSource) -> bytes:
    return source.record_json.replace(b'{"', b'{ "', 1)


def endless(source: LyingSource) -> bytes:
    return b" " * (3 * MIB)


@pytest.mark.parametrize("lie", [of_another_file, written_otherwise, endless, lambda _: b"{}"])
async def test_a_record_that_is_not_right(
    target: tuple[StorageProcess, Path], lie: Callable[[LyingSource], bytes]
) -> None:
    element, root = target
    source = LyingSource(b"content")
    source.record_json = lie(source)
    async with session() as http, source.serving(honest) as url:
        (line,) = await ask_for_copies(http, element, url, [source.record.file_id])
    assert (line["code"], line["side"]) == ("file_damaged", "source")
    assert stored_parts(root, source.record.file_id) == {}


async def test_a_source_that_falls_silent() -> None:
    async def silent(request: web.Request, _: FileRecord, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[:100])
        await released.wait()
        return response

    released = asyncio.Event()
    source = LyingSource(os.urandom(5000))
    transport = Transport(None)
    async with source.serving(silent) as url:
        blocks = SourceElement(transport, url, silence_max_s=0.2).content(source.record)
        with pytest.raises(SourceFailed, match="does not answer"):
            [block async for block in blocks]
        released.set()
    await transport.close()


async def test_a_slow_source_is_waited_for(target: tuple[StorageProcess, Path]) -> None:
    async def slow(request: web.Request, _: FileRecord, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        for start in range(0, len(content), 1000):
            await response.write(content[start : start + 1000])
            await asyncio.sleep(0.01)
        return response

    source = LyingSource(os.urandom(100_000))
    async with session() as http, source.serving(slow) as url:
        (line,) = await ask_for_copies(http, target[0], url, [source.record.file_id])
    assert line["status"] == 201


async def test_a_source_must_be_a_storage_element(pki: Pki, tmp_path: Path) -> None:
    """Mutual TLS on both hops: a real source is taken, one with another module's name not."""

    async def call(
        http: aiohttp.ClientSession, method: str, url: str, tls: TlsFiles, **fields: object
    ) -> bytes:
        context, name = client_context(tls), server_name("storage")
        async with http.request(method, url, ssl=context, server_hostname=name, **fields) as answer:  # type: ignore[arg-type]
            return await answer.read()

    def settings(name: str) -> dict[str, object]:
        return {"ELEMENT_ID": name, "ROOT": tmp_path / name}

    file_id: FileId = new_id()
    with (
        module_process("storage", pki, settings("one"), "one") as one,
        module_process("storage", pki, settings("two"), "two") as two,
    ):
        async with session() as http:
            admin = pki.files("admin")
            url = f"{one.url}/api/v1/files/{file_id}"
            await call(http, "PUT", url, admin, data=framed(b"content"), headers=FRAME)
            wanted = {"source_url": one.url, "files": [file_id], "purpose": "copy"}
            taken = await call(http, "POST", f"{two.url}/api/v1/copies", admin, json=wanted)
            assert b'"status":201' in taken
            wanted = {
                "source_url": one.url.replace("https", "http"),
                "files": [file_id],
                "purpose": "copy",
            }
            plain = await call(http, "POST", f"{two.url}/api/v1/copies", admin, json=wanted)
            assert b"invalid_request" in plain
            async with LyingSource(b"x").serving(honest, pki.files("query")) as impostor:
                wanted = {"source_url": impostor, "files": [file_id], "purpose": "copy"}
                refused = await call(http, "POST", f"{two.url}/api/v1/copies", admin, json=wanted)
            assert b'"code":"unavailable"' in refused
