"""The element's HTTP face, on a real process and a real disk."""

import asyncio
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
import pytest
from tests.support.processes import wait_until
from tests.support.storage_process import (
    FRAME,
    StorageProcess,
    framed,
    new_id,
    session,
    storage_process,
)

MIB = 1 << 20


@pytest.fixture(scope="module")
def element(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("storage") / "element") as process:
        yield process


class Client:
    def __init__(self, http: aiohttp.ClientSession, element: StorageProcess) -> None:
        self._http = http
        self._element = element

    async def call(
        self, method: str, path: str, **fields: Any
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        if isinstance(fields.get("data"), bytes):
            fields["data"] = io.BytesIO(fields["data"])
        async with self._http.request(method, self._element.url(path), **fields) as answer:
            return answer, await answer.read()

    async def put(self, content: bytes, file_id: str | None = None, **draft: Any) -> Any:
        """Status and body; the body names the file."""
        path = f"/files/{file_id or new_id()}"
        answer, body = await self.call("PUT", path, data=framed(content, **draft), headers=FRAME)
        return answer.status, orjson.loads(body)

    async def problem(self, method: str, path: str, **fields: Any) -> tuple[int, str]:
        answer, body = await self.call(method, path, **fields)
        assert answer.content_type == "application/problem+json"
        return answer.status, orjson.loads(body)["code"]


@pytest.fixture
async def client(element: StorageProcess) -> AsyncIterator[Client]:
    async with session() as http:
        yield Client(http, element)


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 200_000, 3 * MIB])
async def test_what_goes_in_comes_out(client: Client, size: int) -> None:
    content = os.urandom(size)
    status, record = await client.put(content, content_type="text/plain")
    path = f"/files/{record['file_id']}"

    assert status == 201
    assert record["size"] == size
    assert record["digests"][0]["value"] == hashlib.sha256(content).hexdigest()
    answer, body = await client.call("GET", f"{path}/content")
    assert body == content
    assert answer.headers["ETag"] == f'"{record["digests"][0]["value"]}"'
    assert answer.headers["Content-Type"] == "text/plain"
    answer, body = await client.call("HEAD", f"{path}/content")
    assert (answer.headers["Content-Length"], body) == (str(size), b"")
    answer, body = await client.call("GET", path)
    assert orjson.loads(body) == record


async def test_the_same_again_is_no_second_file(client: Client) -> None:
    for content in (b"small", os.urandom(100_000)):
        file_id = new_id()
        assert (await client.put(content, file_id))[0] == 201
        assert (await client.put(content, file_id))[0] == 200
        status, problem = await client.put(content + b"x", file_id)
        assert (status, problem["code"]) == (409, "file_exists")


async def test_a_stream_of_unknown_length(client: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        body = framed(b"abc" * 50_000)
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    path = f"/files/{new_id()}"
    answer, _ = await client.call("PUT", path, data=pieces(), headers=FRAME)
    assert answer.status == 201
    assert (await client.call("GET", f"{path}/content"))[1] == b"abc" * 50_000


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=3-6", slice(3, 7)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-4", slice(-4, None)),
        ("bytes=2-99999999999", slice(2, None)),
    ],
)
async def test_ranges(client: Client, size: int, asked: str, part: slice) -> None:
    content = os.urandom(size)
    _, record = await client.put(content)
    path = f"/files/{record['file_id']}/content"
    answer, body = await client.call("GET", path, headers={"Range": asked})
    start, stop, _ = part.indices(size)
    assert answer.status == 206
    assert body == content[part]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=x", "lines=1-2", "bytes=5-2"])
async def test_ranges_that_are_ignored(client: Client, asked: str) -> None:
    _, record = await client.put(b"0123456789")
    path = f"/files/{record['file_id']}/content"
    answer, body = await client.call("GET", path, headers={"Range": asked})
    assert (answer.status, body) == (200, b"0123456789")


async def test_a_range_behind_the_end(client: Client) -> None:
    for content in (b"", b"0123456789"):
        _, record = await client.put(content)
        path = f"/files/{record['file_id']}/content"
        answer, _ = await client.call("GET", path, headers={"Range": "bytes=10-"})
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(content)}"


async def test_change_and_delete(client: Client) -> None:
    _, record = await client.put(b"x")
    path = f"/files/{record['file_id']}"
    answer, body = await client.call("PATCH", path, json={"tags": ["a"], "expected_revision": 1})
    assert (answer.status, orjson.loads(body)["revision"]) == (200, 2)
    assert await client.problem("PATCH", path, json={"tags": [], "expected_revision": 1}) == (
        409,
        "revision_conflict",
    )
    deletion = {"by": "clerk", "reason": "wish"}
    first = await client.call("DELETE", path, json=deletion)
    again = await client.call("DELETE", path, json=deletion)
    assert first[0].status == again[0].status == 200
    assert first[1] == again[1]
    assert await client.problem("GET", f"{path}/content") == (410, "file_deleted")
    assert (await client.call("GET", path))[0].status == 200


async def test_nobody_deletes_what_must_be_kept(client: Client) -> None:
    _, record = await client.put(b"x", retention={"policy": "permanent", "mode": "compliance"})
    path = f"/files/{record['file_id']}"
    deletion = {"by": "clerk", "reason": "wish"}
    assert await client.problem("DELETE", path, json=deletion) == (409, "retention_forbids")
    assert (await client.call("GET", f"{path}/content"))[1] == b"x"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_unknown_and_malformed_ids(client: Client, method: str) -> None:
    bodies = {"PATCH": {"tags": []}, "DELETE": {"by": "a", "reason": ""}}
    body = {"json": bodies[method]} if method in bodies else {}
    unknown = await client.problem(method, f"/files/{new_id()}", **body)
    assert unknown == (404, "unknown_file")
    for bad in ("x", "../etc", new_id().upper(), "ffffffff-ffff-4fff-bfff-ffffffffffff"):
        assert (await client.problem(method, f"/files/{bad}", **body))[0] in (404, 422)


@pytest.mark.parametrize("size", [100, 200_000])
async def test_bad_uploads_leave_nothing(client: Client, size: int) -> None:
    content = os.urandom(size)
    cases = [
        (framed(content, expected_sha256="0" * 64), FRAME, 422, "digest_mismatch"),
        (framed(content, size=size + 1), FRAME, 422, "size_mismatch"),
        (framed(content, tags="x"), FRAME, 422, "invalid_metadata"),
        (framed(content), {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"\xff\xff\xff\xff" + content, FRAME, 422, "invalid_request"),
    ]
    for body, headers, status, code in cases:
        path = f"/files/{new_id()}"
        assert await client.problem("PUT", path, data=body, headers=headers) == (status, code)
        assert await client.problem("GET", path) == (404, "unknown_file")
    future = "ffffffff-ffff-7fff-bfff-ffffffffffff"
    assert (await client.put(content, future))[1]["code"] == "invalid_request"


async def test_a_cut_connection_keeps_nothing(client: Client, element: StorageProcess) -> None:
    for size in (1000, 5 * MIB):
        file_id = new_id()
        body = framed(os.urandom(size))
        reader, writer = await asyncio.open_connection("127.0.0.1", element.port)
        writer.write(
            f"PUT /api/v1/files/{file_id} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {FRAME['Content-Type']}\r\n\r\n".encode()
        )
        writer.write(body[:-10])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        del reader
        # The retry waits until the element has noticed, at most.
        for _ in range(100):
            status, _ = await client.put(b"retry", file_id)
            if status != 503:
                break
            await asyncio.sleep(0.05)
        assert status == 201


async def test_a_refusal_comes_before_the_body(
    tmp_path: Path, client: Client, element: StorageProcess
) -> None:
    with storage_process(tmp_path / "e", MODE="ro") as closed:
        with socket.create_connection(("127.0.0.1", closed.port)) as connection:
            connection.sendall(
                f"PUT /api/v1/files/{new_id()} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
                f"Content-Type: {FRAME['Content-Type']}\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 409")
        assert b"mode_forbids" in answer
        async with session() as http:
            small = await Client(http, closed).put(b"x")
        assert (small[0], small[1]["code"]) == (409, "mode_forbids")


async def test_a_full_element_says_so(tmp_path: Path) -> None:
    with storage_process(tmp_path / "e", RESERVED_BYTES=1 << 60) as full:
        async with session() as http:
            for size in (10, 200_000):
                status, problem = await Client(http, full).put(b"x" * size)
                assert (status, problem["code"]) == (507, "no_room")


async def test_the_feed_wakes_who_waits(client: Client, element: StorageProcess) -> None:
    answer, _ = await client.call("GET", "/changes")
    position = answer.headers["X-ArtStore-Head-Seq"]
    waiting = asyncio.create_task(client.call("GET", f"/changes?after={position}&wait=30"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    _, record = await client.put(b"news")
    answer, body = await waiting
    changes = [orjson.loads(line) for line in body.splitlines()]
    assert [change["record"]["file_id"] for change in changes] == [record["file_id"]]
    info = orjson.loads((await client.call("GET", "/info"))[1])
    assert answer.headers["X-ArtStore-Feed-Id"] == info["feed_id"]
    gone = await client.problem("GET", "/changes?after=99999999")
    assert gone == (410, "position_gone")


async def test_memory_stays_as_it_is_for_large_files(
    client: Client, element: StorageProcess
) -> None:
    await client.put(os.urandom(8 * MIB))
    before = element.rss_bytes
    digest = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        yield framed(b"")
        for n in range(256):
            block = n.to_bytes(4) * (MIB // 4)
            digest.update(block)
            yield block

    path = f"/files/{new_id()}"
    answer, body = await client.call("PUT", path, data=pieces(), headers=FRAME)
    assert answer.status == 201, body
    assert orjson.loads(body)["digests"][0]["value"] == digest.hexdigest()
    received = hashlib.sha256()
    async with client._http.get(element.url(f"{path}/content")) as download:
        async for piece in download.content.iter_chunked(MIB):
            received.update(piece)
    assert received.digest() == digest.digest()
    assert element.rss_bytes - before < 64 * MIB


async def test_a_damaged_large_file_ends_in_a_cut_connection(
    tmp_path: Path,
) -> None:
    with storage_process(tmp_path / "e") as element:
        async with session() as http:
            client = Client(http, element)
            for size, failure in ((100, None), (3 * MIB, aiohttp.ClientPayloadError)):
                _, record = await client.put(os.urandom(size))
                # A small file is acknowledged by the log; reading waits for its place.
                await client.call("GET", f"/files/{record['file_id']}")
                path = next((tmp_path / "e/data").rglob(f"{record['file_id']}.txt"))
                with path.open("r+b") as file:
                    file.seek(size // 2)
                    byte = file.read(1)[0]
                    file.seek(size // 2)
                    file.write(bytes([byte ^ 1]))
                url = f"/files/{record['file_id']}/content"
                if failure is None:
                    assert await client.problem("GET", url) == (500, "file_damaged")
                else:
                    with pytest.raises(failure):
                        await client.call("GET", url)


def test_a_second_process_on_the_same_root_says_so(tmp_path: Path) -> None:
    with storage_process(tmp_path / "e"):
        second = subprocess.run(
            [sys.executable, "-m", "artstore.storage"],
            env={
                **os.environ,
                "ARTSTORE_PROFILE": "development",
                "ARTSTORE_INSTANCE": "storage-2",
                "ARTSTORE_PORT": "0",
                "ARTSTORE_ELEMENT_ID": "edit-1",
                "ARTSTORE_ROOT": str(tmp_path / "e"),
            },
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert second.returncode == 1
    assert b"another process serves the element" in second.stderr
    assert b"Traceback" not in second.stderr


async def test_a_stop_answers_who_waits_in_the_feed(tmp_path: Path) -> None:
    with storage_process(tmp_path / "e") as element:
        async with session() as http:
            url = element.url("/changes?wait=60")
            waiting = asyncio.create_task(http.get(url))
            await asyncio.sleep(0.5)
            os.kill(element.pid, signal.SIGTERM)
            async with await waiting as answer:
                assert answer.status == 200


def test_a_helper_that_dies_is_replaced(tmp_path: Path) -> None:
    with storage_process(tmp_path / "e") as element:

        async def put() -> int:
            async with session() as http:
                return (await Client(http, element).put(b"x"))[0]

        assert asyncio.run(put()) == 201
        (helper,) = psutil.Process(element.pid).children()
        helper.kill()
        assert asyncio.run(put()) == 201
        wait_until(
            lambda: [child.pid for child in psutil.Process(element.pid).children()] != [helper.pid],
            "another helper",
        )
        assert asyncio.run(put()) == 201
