"""Upload and download through real processes: ingester, storage element, query, PostgreSQL.

The catalogue has no follower here, so every file is read as in its first second: by id,
from the element itself.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import delete, insert
from tests.integration.query.conftest import World
from tests.support.issuer import ISSUER
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.processes import Limit, eventually
from yarl import URL

from artstore.core.catalogue import elements
from artstore.core.model.element import ElementEntry
from artstore.core.tls import server_name

GROWTH_BYTES_MAX = 64 << 20
LARGE = os.urandom(900_000)


@dataclass
class Chain:
    world: World
    storage: ModuleProcess
    ingester: ModuleProcess
    root: Path

    async def upload(
        self, data: Any, headers: dict[str, str] | None = None, **params: str
    ) -> tuple[int, dict[str, Any]]:
        token = self.world.issuer.token(["files:write"])
        url = URL(f"{self.ingester.url}/api/v1/files").with_query(params)
        async with self.world.session.post(
            url,
            data=data,
            headers={"Authorization": f"Bearer {token}", **(headers or {})},
            server_hostname=server_name("ingester"),
        ) as response:
            return response.status, await response.json(content_type=None)

    @property
    def kept(self) -> list[Path]:
        """What is on the element's disk besides records."""
        folders = (self.root / "data", self.root / "tmp")
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return [path for path in files if not path.name.endswith(".attr.json")]


@pytest.fixture(scope="module")
async def chain(
    pki: Pki, shared_world: World, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Chain]:
    root = tmp_path_factory.mktemp("element") / "real-1"
    processes = contextlib.ExitStack()
    storage = await asyncio.to_thread(
        processes.enter_context,
        module_process("storage", pki, {"ELEMENT_ID": "real-1", "ROOT": root}, "real-1"),
    )
    entry = ElementEntry(element_id="real-1", url=storage.url)
    shared_world.issuer.elements = [entry]
    with shared_world.engine.begin() as connection:
        connection.execute(insert(elements), [{**entry.model_dump(), "state": "new"}])
    ingester = await asyncio.to_thread(
        processes.enter_context,
        module_process(
            "ingester",
            pki,
            {"ADMIN_URL": shared_world.issuer.url, "ISSUER": ISSUER, "BODY_IDLE_TIMEOUT_S": 2.0},
        ),
    )
    chain = Chain(shared_world, storage, ingester, root)
    limit = Limit("the first upload", 20)
    while (await chain.upload(b"", filename="probe"))[0] != 201:
        limit.check()
        await asyncio.sleep(0.05)
    yield chain
    await asyncio.to_thread(processes.close)
    with shared_world.engine.begin() as connection:
        connection.execute(delete(elements).where(elements.c.element_id == "real-1"))


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(65536), LARGE])
async def test_what_goes_in_comes_out(chain: Chain, world: World, content: bytes) -> None:
    name = "отчёт\0\u202e../2024.pdf"
    status, body = await chain.upload(content, filename=name, tag="a", metadata='{"k": [1]}')
    assert status == 201

    record_status, record, _ = await world.get(body["location"])
    status, read, response = await world.get(body["location"] + "/content")

    assert (record_status, status) == (200, 200)
    assert read == content
    assert body["sha256"] == hashlib.sha256(content).hexdigest()
    assert response.headers["ETag"] == f'"{body["sha256"]}"'
    assert b'"original_filename"' in record


async def test_a_chunked_body_comes_out_too(chain: Chain, world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]

    status, body = await chain.upload(chunks(), filename="a")

    assert (status, body["size"]) == (201, len(LARGE))
    assert (await world.get(body["location"] + "/content"))[1] == LARGE


async def test_parts_come_out_as_they_went_in(chain: Chain, world: World) -> None:
    _, body = await chain.upload(LARGE, filename="a")
    path = body["location"] + "/content"

    for header, part in [
        ("bytes=0-0", LARGE[:1]),
        ("bytes=70000-800000", LARGE[70000:800001]),
        ("bytes=-1", LARGE[-1:]),
        (f"bytes={len(LARGE) - 1}-", LARGE[-1:]),
    ]:
        status, read, _ = await world.get(path, {"Range": header})
        assert (status, read) == (206, part)
    assert (await world.get(path, {"Range": f"bytes={len(LARGE)}-"}))[0] == 416


@pytest.mark.parametrize("content", [b"x", LARGE])
async def test_a_wrong_digest_keeps_nothing(chain: Chain, content: bytes) -> None:
    before = chain.kept
    wrong = {"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}

    status, body = await chain.upload(content, wrong, filename="a")

    assert (status, body["code"]) == (422, "digest_mismatch")
    assert chain.kept == before


async def test_metadata_that_fill_the_record_are_refused_before_the_body(chain: Chain) -> None:
    data = aiohttp.FormData()
    data.add_field("metadata", '{"a": "' + "x" * ((1 << 20) - 100) + '"}')
    data.add_field("file", b"x", filename="a")

    status, body = await chain.upload(data)

    assert (status, body["code"], body["field"]) == (422, "invalid_metadata", "metadata")


async def test_a_client_that_vanishes_leaves_nothing(chain: Chain) -> None:
    before = set(chain.kept)

    async def half() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionError

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await chain.upload(half(), filename="a")

    await eventually(lambda: set(chain.kept) == before)


async def test_a_gigabyte_each_way_leaves_no_trace_in_memory(chain: Chain, world: World) -> None:
    """Constant memory in all three processes, and the same bytes at the end."""
    block = os.urandom(1 << 20)
    count = 1024
    expected = hashlib.sha256()
    processes = (chain.ingester, chain.storage, world.query)
    before = [process.rss_bytes for process in processes]
    peak = list(before)

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(count):
            expected.update(block)
            note_peak(number)
            yield block

    def note_peak(number: int) -> None:
        if number % 64 == 0:
            for index, process in enumerate(processes):
                peak[index] = max(peak[index], process.rss_bytes)

    status, body = await chain.upload(
        chunks(), {"Content-Length": str(count << 20)}, filename="large"
    )
    assert (status, body["size"], body["sha256"]) == (201, 1 << 30, expected.hexdigest())

    received, number = hashlib.sha256(), 0
    async with world.request("GET", body["location"] + "/content") as response:
        async for chunk in response.content.iter_any():
            received.update(chunk)
            number += 1
            note_peak(number)
    assert received.hexdigest() == body["sha256"]
    growth = [after - start for after, start in zip(peak, before, strict=True)]
    assert all(grown < GROWTH_BYTES_MAX for grown in growth), growth
