"""`POST /files:batch` on a real element: results in order, and each file for itself."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from tests.support.storage_process import (
    HEAD,
    StorageProcess,
    Uploader,
    new_id,
    session,
    storage_process,
)

from artstore.core.model.batch import BATCH_BYTES_MAX, BATCH_TYPE, pack_file
from artstore.core.model.ids import FileId

TYPE = {"Content-Type": BATCH_TYPE}


@pytest.fixture(scope="module")
def element(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("batch") / "element") as process:
        yield process


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


def packed(
    content: bytes, file_id: FileId | None = None, trace_id: str | None = None, **draft: Any
) -> bytes:
    head = json.dumps({**HEAD, **draft}).encode()
    return pack_file(file_id or new_id(), head, trace_id, content)


async def send(
    http: aiohttp.ClientSession, element: StorageProcess, *files: bytes
) -> list[dict[str, Any]]:
    url = element.url("/files:batch")
    async with http.post(url, data=io.BytesIO(b"".join(files)), headers=TYPE) as answer:
        assert answer.status == 200
        return [orjson.loads(line) for line in (await answer.read()).splitlines()]


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with http.get(url) as answer:
        return answer.status, await answer.read()


async def test_a_batch_is_stored_in_order(
    http: aiohttp.ClientSession, element: StorageProcess
) -> None:
    contents = [b"", b"one", os.urandom(5000), os.urandom(65536)]
    ids = [new_id() for _ in contents]
    packs = [packed(*pair) for pair in zip(contents, ids, strict=True)]
    lines = await send(http, element, *packs)

    assert [line["status"] for line in lines] == [201] * 4
    assert [line["record"]["file_id"] for line in lines] == ids
    for file_id, content in zip(ids, contents, strict=True):
        assert await get(http, element.url(f"/files/{file_id}/content")) == (200, content)
    again = await send(http, element, *packs)
    assert [line["status"] for line in again] == [200] * 4
    assert [line["record"] for line in again] == [line["record"] for line in lines]


async def test_a_bad_file_fails_alone(http: aiohttp.ClientSession, element: StorageProcess) -> None:
    taken, twice = new_id(), new_id()
    await send(http, element, packed(b"first", taken))
    no_id = FileId("00000000-0000-4000-8000-000000000000")
    lines = await send(
        http,
        element,
        packed(b"good"),
        packed(b"bad digest", expected_sha256="0" * 64),
        packed(b"bad size", size=7),
        packed(b"bad head", tags="no list"),
        packed(b"other content", taken),
        packed(b"not a UUIDv7", no_id),
        packed(b"twice", twice),
        packed(b"twice", twice),
        packed(b"good too"),
    )
    codes = [line.get("code", line["status"]) for line in lines]
    assert codes == [
        201,
        "digest_mismatch",
        "size_mismatch",
        "invalid_metadata",
        "file_exists",
        "invalid_request",
        201,
        "invalid_request",
        201,
    ]
    assert lines[3]["field"] == "tags"
    assert [line["status"] for line in lines[1:6]] == [422, 422, 422, 409, 422]


@pytest.mark.parametrize("harm", ["cut", "longer", "empty", "too many"])
async def test_bad_borders_store_nothing(
    http: aiohttp.ClientSession, element: StorageProcess, harm: str
) -> None:
    file_id = new_id()
    good = packed(b"content", file_id)
    body = {"cut": good[:-1], "longer": good + b"x", "empty": b"", "too many": good * 257}[harm]
    async with http.post(element.url("/files:batch"), data=body, headers=TYPE) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "invalid_request")
    assert (await get(http, element.url(f"/files/{file_id}")))[0] == 404


async def test_a_batch_says_its_length_its_type_and_is_not_too_large(
    http: aiohttp.ClientSession, element: StorageProcess
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield packed(b"x")

    large = io.BytesIO(bytes(BATCH_BYTES_MAX + 1))
    attempts: list[tuple[Any, dict[str, str], int]] = [
        (pieces(), TYPE, 422),
        (packed(b"x"), {"Content-Type": "application/json"}, 415),
        (large, TYPE, 413),
    ]
    url = element.url("/files:batch")
    for body, headers, status in attempts:
        # A refusal comes instead of "100 Continue": nobody sends what is not wanted.
        async with http.post(url, data=body, headers=headers, expect100=True) as answer:
            assert answer.status == status


async def test_each_file_keeps_its_trace_in_the_feed(
    http: aiohttp.ClientSession, element: StorageProcess
) -> None:
    ids = [new_id(), new_id()]
    headers = {**TYPE, "traceparent": f"00-{'cd' * 16}-{'ef' * 8}-00"}
    body = packed(b"own trace", ids[0], "ab" * 16) + packed(b"trace of the request", ids[1])
    async with http.post(element.url("/files:batch"), data=body, headers=headers) as answer:
        assert answer.status == 200
    _, feed = await get(http, element.url("/changes?after=0&limit=10000"))
    changes = [orjson.loads(line) for line in feed.splitlines()]
    traces = {change["record"]["file_id"]: change["trace_id"] for change in changes}
    assert [traces[file_id] for file_id in ids] == ["ab" * 16, "cd" * 16]


async def test_files_too_large_for_the_log_are_stored_too(tmp_path: Path) -> None:
    contents = [os.urandom(size) for size in (10, 3000, 1 << 21)]
    ids = [new_id() for _ in contents]
    with storage_process(tmp_path / "e", INLINE_BYTES_MAX=100) as small:
        async with session() as http:
            lines = await send(http, small, *map(packed, contents, ids))
            assert [line["status"] for line in lines] == [201] * 3
            for file_id, content in zip(ids, contents, strict=True):
                assert (await get(http, small.url(f"/files/{file_id}/content")))[1] == content


async def test_a_full_element_refuses_before_the_body(tmp_path: Path) -> None:
    with storage_process(tmp_path / "e", RESERVED_BYTES=1 << 60) as full:
        async with session() as http:
            url = full.url("/files:batch")
            async with http.post(
                url, data=packed(b"x") * 200, headers=TYPE, expect100=True
            ) as answer:
                assert (answer.status, (await answer.json())["code"]) == (507, "no_room")


async def test_acknowledged_batches_survive_a_kill(tmp_path: Path) -> None:
    acknowledged: dict[FileId, str] = {}

    async def upload(http: aiohttp.ClientSession, element: StorageProcess) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            while True:
                contents = {new_id(): os.urandom(3000) for _ in range(30)}
                packs = [packed(content, file_id) for file_id, content in contents.items()]
                for line in await send(http, element, *packs):
                    assert line["status"] == 201
                    file_id = line["record"]["file_id"]
                    acknowledged[file_id] = hashlib.sha256(contents[file_id]).hexdigest()

    with storage_process(tmp_path / "e") as element:
        async with session() as http:
            uploads = [asyncio.create_task(upload(http, element)) for _ in range(4)]
            while len(acknowledged) < 300:
                await asyncio.sleep(0.05)
            element.kill()
            await asyncio.gather(*uploads)
    with storage_process(tmp_path / "e") as element:
        async with session() as http:
            await Uploader(http, element, acknowledged).check()
