"""Uploads that come in parts, on a real element: kills, lost connections, checksums."""

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from tests.support.storage_process import (
    HEAD,
    StorageProcess,
    new_id,
    session,
    storage_process,
)

MIB = 1 << 20
PART = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage") / "element"


class Client:
    def __init__(self, http: aiohttp.ClientSession, element: StorageProcess) -> None:
        self._http = http
        self.element = element

    async def call(self, method: str, path: str, **fields: Any) -> tuple[int, Any]:
        url = self.element.url(f"/open-uploads/{path}")
        if isinstance(fields.get("data"), bytes):
            fields["data"] = io.BytesIO(fields["data"])
        async with self._http.request(method, url, **fields) as answer:
            body = await answer.read()
            is_json = answer.content_type in ("application/json", "application/problem+json")
            return answer.status, orjson.loads(body) if is_json else body

    async def begin(self, size: int, **draft: Any) -> str:
        file_id = new_id()
        body = {"size": size, "expires_at": _later(), "draft": {**HEAD, **draft}}
        assert await self.call("POST", file_id, data=orjson.dumps(body)) == (201, b"")
        return file_id

    async def append(self, file_id: str, offset: int, data: Any, **query: str) -> tuple[int, Any]:
        params = {"offset": str(offset), "expires_at": _later(), **query}
        return await self.call("PATCH", file_id, params=params, data=data, headers=PART)

    async def complete(self, file_id: str, **completion: Any) -> tuple[int, Any]:
        return await self.call("POST", f"{file_id}/complete", data=orjson.dumps(completion))

    async def content(self, file_id: str) -> bytes:
        async with self._http.get(self.element.url(f"/files/{file_id}/content")) as answer:
            assert answer.status == 200
            return await answer.read()


def _later() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.fixture(scope="module")
async def client(root: Path) -> AsyncIterator[Client]:
    with storage_process(root) as element:
        async with session() as http:
            yield Client(http, element)


@pytest.mark.parametrize("size", [0, 1, 3 * MIB])
async def test_parts_become_a_file(client: Client, size: int) -> None:
    content = os.urandom(size)
    file_id = await client.begin(size)
    for start in range(0, size, MIB):
        status, state = await client.append(file_id, start, content[start : start + MIB])
        assert (status, state["offset"]) == (200, min(start + MIB, size))

    status, record = await client.complete(file_id, content_type="image/tiff")

    assert status == 201
    assert record["digests"][0]["value"] == hashlib.sha256(content).hexdigest()
    assert record["content_type"] == "image/tiff"
    assert await client.content(file_id) == content
    status, state = await client.call("GET", file_id)
    assert (state["offset"], state["record"]) == (size, record)
    assert (await client.complete(file_id))[0] == 404


async def test_what_came_before_the_connection_broke_counts(client: Client) -> None:
    content = os.urandom(5 * MIB)
    file_id = await client.begin(len(content))

    async def broken() -> AsyncIterator[bytes]:
        yield content[: 3 * MIB]
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await client.append(file_id, 0, broken())
    offset = 0
    while not offset:
        await asyncio.sleep(0.02)
        offset = (await client.call("GET", file_id))[1]["offset"]
    assert offset <= 3 * MIB
    # The element may still be about to give the upload free.
    while (answer := await client.append(file_id, offset, content[offset:]))[0] in (423, 409):
        offset = (await client.call("GET", file_id))[1]["offset"]
    assert answer[0] == 200
    assert (await client.complete(file_id))[0] == 201
    assert await client.content(file_id) == content


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_part_with_a_wrong_checksum_does_not_count(client: Client, algorithm: str) -> None:
    content = os.urandom(2 * MIB)
    file_id = await client.begin(len(content))
    right = hashlib.new(algorithm, content).hexdigest()
    wrong = hashlib.new(algorithm, b"other").hexdigest()

    status, problem = await client.append(
        file_id, 0, content, checksum_algorithm=algorithm, checksum=wrong
    )
    assert (status, problem["code"]) == (460, "checksum_mismatch")
    assert (await client.call("GET", file_id))[1]["offset"] == 0
    status, _ = await client.append(
        file_id, 0, content, checksum_algorithm=algorithm, checksum=right
    )
    assert status == 200


async def test_another_digest_than_announced_keeps_nothing(client: Client) -> None:
    file_id = await client.begin(4, expected_sha256="0" * 64)
    await client.append(file_id, 0, b"data")

    status, problem = await client.complete(file_id)

    assert (status, problem["code"]) == (422, "digest_mismatch")
    assert (await client.call("GET", file_id))[0] == 404


async def test_refusals(client: Client) -> None:
    file_id = await client.begin(4)
    refusals = [
        (await client.append(file_id, 1, b"x"), 409, "offset_conflict"),
        (await client.append(file_id, 0, b"12345"), 422, "size_mismatch"),
        (await client.complete(file_id), 422, "size_mismatch"),
        (await client.append(new_id(), 0, b"x"), 404, "unknown_upload"),
        (await client.append(file_id, -1, b"x"), 422, "invalid_request"),
        (await client.append(file_id, 0, b"x", checksum="zz"), 422, "invalid_request"),
        (await client.call("GET", "not-an-id"), 422, "invalid_request"),
        (await client.call("DELETE", new_id()), 404, "unknown_upload"),
    ]
    for (status, problem), expected, code in refusals:
        assert (status, problem["code"]) == (expected, code)
    assert (await client.call("DELETE", file_id))[0] == 204
    assert (await client.call("GET", file_id))[0] == 404


async def test_bytes_are_read_back_for_inspection(client: Client) -> None:
    content = os.urandom(2 * MIB + 5)
    file_id = await client.begin(len(content))
    await client.append(file_id, 0, content)
    assert await client.call("GET", f"{file_id}/content") == (200, content)


async def test_a_killed_element_goes_on_where_it_was(tmp_path: Path) -> None:
    content = os.urandom(4 * MIB)
    async with session() as http:
        with storage_process(tmp_path / "element") as element:
            client = Client(http, element)
            file_id = await client.begin(len(content))
            await client.append(file_id, 0, content[: 3 * MIB])
            element.kill()
        with storage_process(tmp_path / "element") as element:
            client = Client(http, element)
            state = (await client.call("GET", file_id))[1]
            assert state["offset"] == 3 * MIB
            await client.append(file_id, state["offset"], content[3 * MIB :])
            assert (await client.complete(file_id))[0] == 201
            assert await client.content(file_id) == content
