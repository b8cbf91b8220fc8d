"""Goal: an element on S3 looks from outside like any other, and what it acknowledged
survives its own death, the store's, and the loss of its volume.

Method: the real process against a real SeaweedFS, both killed without warning.
"""

import asyncio
import contextlib
import gzip
import hashlib
import io
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import obstore
import pytest
from tests.support.processes import Limit, eventually, short_folder
from tests.support.seaweedfs import CREDENTIALS, SeaweedFs, seaweedfs_process
from tests.support.storage_process import (
    FRAME,
    StorageProcess,
    Uploader,
    framed,
    new_id,
    session,
    storage_process,
)

from artstore.core.model.ids import FileId
from artstore.storage.engine.backends.s3 import S3Options, s3_store

LARGE = os.urandom(20 << 20)


def settings(options: S3Options, folder: Path) -> dict[str, object]:
    for name, value in CREDENTIALS._asdict().items():
        path = folder / name
        path.touch(0o600)
        path.write_text(value)
    return {
        "BACKEND": "s3",
        "S3_ENDPOINT": options.endpoint,
        "S3_BUCKET": options.bucket,
        "S3_PREFIX": options.prefix,
        "S3_ACCESS_KEY_FILE": folder / "access_key",
        "S3_SECRET_KEY_FILE": folder / "secret_key",
        "S3_TIMEOUT_S": 2,
        "CHECKPOINT_INTERVAL_S": 0.5,
        "SEGMENT_BYTES": 8 << 20,
    }


@contextlib.contextmanager
def element_on(options: S3Options, folder: Path, root: str = "root") -> Iterator[StorageProcess]:
    with storage_process(folder / root, **settings(options, folder)) as element:
        yield element


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


async def put(
    http: aiohttp.ClientSession, element: StorageProcess, content: bytes, **fields: object
) -> tuple[int, FileId]:
    file_id = new_id()
    url = element.url(f"/files/{file_id}")
    async with http.put(url, data=io.BytesIO(framed(content, **fields)), headers=FRAME) as answer:
        await answer.read()
        return answer.status, file_id


async def get(
    http: aiohttp.ClientSession, element: StorageProcess, path: str, **headers: str
) -> tuple[int, bytes]:
    async with http.get(element.url(path), headers=headers) as answer:
        return answer.status, await answer.read()


async def is_ready(http: aiohttp.ClientSession, element: StorageProcess) -> bool:
    async with http.get(f"http://127.0.0.1:{element.port}/health/ready") as answer:
        return answer.status == 200


async def wait_for(http: aiohttp.ClientSession, element: StorageProcess, *, ready: bool) -> None:
    limit = Limit("the element changing its mind", 60)
    while await is_ready(http, element) is not ready:
        limit.check()
        await asyncio.sleep(0.1)


async def wait_for_reason(folder: Path, reason: str) -> None:
    """In the log: `/health/ready` says it to callers with a certificate only."""
    await eventually(lambda: reason in (folder / "element.log").read_text(), 60)


async def test_the_whole_http_surface(
    http: aiohttp.ClientSession, bucket_options: S3Options, tmp_path: Path
) -> None:
    with element_on(bucket_options, tmp_path) as element:
        await wait_for(http, element, ready=True)
        status, small = await put(http, element, b"small", original_filename="note.pdf")
        assert status == 201
        status, large = await put(http, element, LARGE, original_filename="film.mp4")
        assert status == 201
        assert await get(http, element, f"/files/{small}/content") == (200, b"small")
        assert await get(http, element, f"/files/{large}/content") == (200, LARGE)
        part = await get(http, element, f"/files/{large}/content", Range="bytes=9000000-9000099")
        assert part == (206, LARGE[9000000:9000100])

        change = {"original_filename": "note.txt", "tags": ["new"]}
        async with http.patch(element.url(f"/files/{small}"), json=change) as answer:
            assert answer.status == 200
            assert (await answer.json())["revision"] == 2
        assert await get(http, element, f"/files/{small}/content") == (200, b"small")

        wish = {"by": "clerk", "reason": "wish"}
        async with http.delete(element.url(f"/files/{large}"), json=wish) as answer:
            assert answer.status == 200
        assert (await get(http, element, f"/files/{large}/content"))[0] == 410
        _, listed = await get(http, element, "/files")
        assert listed.count(b"\n") == 2
        _, changes = await get(http, element, "/changes")
        kinds = [line.split(b'"type":"')[1].split(b'"')[0] for line in changes.splitlines()]
        assert kinds == [b"created", b"created", b"updated", b"deleted"]

    store = s3_store(bucket_options)
    keys = [entry["path"] for batch in obstore.list(store) for entry in batch]
    assert not [key for key in keys if key.endswith((".mp4", ".pdf"))], "contents that are gone"
    assert not [key for key in keys if key.startswith("probe")]


async def test_killed_under_load_nothing_is_lost(
    http: aiohttp.ClientSession, bucket_options: S3Options, tmp_path: Path
) -> None:
    with element_on(bucket_options, tmp_path) as element:
        await wait_for(http, element, ready=True)
        uploader = Uploader(http, element)
        sizes = [4000] * 6 + [300_000] * 2
        load = [asyncio.create_task(uploader.run(size)) for size in sizes]
        while len(uploader.acknowledged) < 60:
            await asyncio.sleep(0.02)
        element.kill()
        await asyncio.gather(*load)
    with element_on(bucket_options, tmp_path) as element:
        await wait_for(http, element, ready=True)
        uploader.element = element
        await uploader.check()


async def test_a_lost_volume_costs_the_feed_and_no_file(
    http: aiohttp.ClientSession, bucket_options: S3Options, tmp_path: Path
) -> None:
    given = settings(bucket_options, tmp_path) | {"MODE": "rw"}
    with storage_process(tmp_path / "root", **given) as element:
        await wait_for(http, element, ready=True)
        uploader = Uploader(http, element)
        for _ in range(20):
            assert await uploader.put(b"kept") == 201
        change = {"mode": "ro", "by": "clerk", "reason": "full", "confirm": True}
        async with http.post(element.url("/mode"), json=change) as answer:
            assert answer.status == 200, await answer.text()
        former = await info(http, element)
    shutil.rmtree(tmp_path / "root")
    with storage_process(tmp_path / "root", **given) as element:
        await wait_for(http, element, ready=True)
        uploader.element = element
        await uploader.check()
        now = await info(http, element)
        assert now["feed_id"] != former["feed_id"]
        assert now["mode"] == "ro", "the bucket remembers it"
        _, listed = await get(http, element, "/files")
        assert listed.count(b"\n") == 20


async def info(http: aiohttp.ClientSession, element: StorageProcess) -> dict[str, object]:
    async with http.get(element.url("/info")) as answer:
        found: dict[str, object] = await answer.json()
        return found


async def test_sealed_history_goes_to_the_bucket(
    http: aiohttp.ClientSession, bucket_options: S3Options, tmp_path: Path
) -> None:
    with element_on(bucket_options, tmp_path) as element:
        await wait_for(http, element, ready=True)
        uploader = Uploader(http, element)
        content = os.urandom(60_000)
        async with asyncio.timeout(60):
            while not (history := history_in(bucket_options)):
                await asyncio.gather(*(uploader.put(content) for _ in range(20)))
        lines = gzip.decompress(history[0]).splitlines()
        assert len(lines) > 50


def history_in(options: S3Options) -> list[bytes]:
    store = s3_store(options)
    keys = [entry["path"] for batch in obstore.list(store, "log") for entry in batch]
    return [bytes(obstore.get(store, key).bytes()) for key in keys]


async def test_a_store_that_dies_is_waited_for(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """What was acknowledged is there, what was not is there or absent, and nobody had to
    restart the element."""
    with short_folder() as folder, seaweedfs_process(folder) as weed:
        weed.make_bucket("elements")
        options = weed.options("elements", "one")
        with element_on(options, tmp_path) as element:
            await wait_for(http, element, ready=True)
            uploader = Uploader(http, element)
            await asyncio.gather(*(uploader.put(os.urandom(3000)) for _ in range(30)))
            weed.kill()
            open_outcomes = {new_id(): os.urandom(2000) for _ in range(5)}
            statuses = await asyncio.gather(
                *(uploader.put(content, i) for i, content in open_outcomes.items())
            )
            assert set(statuses) == {503}
            await wait_for(http, element, ready=False)
            await wait_for_reason(tmp_path, "the object store cannot be reached")
            assert (await put(http, element, b"refused"))[0] == 503
            with seaweedfs_process(folder, weed):
                await wait_for(http, element, ready=True)
                await uploader.check()
                for file_id, content in open_outcomes.items():
                    assert await uploader.put(content, file_id) in (200, 201)
                    _, stored = await get(http, element, f"/files/{file_id}/content")
                    assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest()
                _, changes = await get(http, element, "/changes")
                assert changes.count(b'"type":"created"') == 35, "each of them once"


async def test_an_element_starts_without_its_store(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with short_folder() as folder:
        weed = SeaweedFs(folder)
        with element_on(weed.options("elements"), tmp_path) as element:
            await wait_for(http, element, ready=False)
            assert (await put(http, element, b"too early"))[0] == 503
            assert (await get(http, element, f"/files/{new_id()}"))[0] == 503
            with seaweedfs_process(folder, weed):
                weed.make_bucket("elements")
                await wait_for(http, element, ready=True)
                assert (await put(http, element, b"in time"))[0] == 201
            # Nobody asks for anything, and still it is noticed.
            await wait_for(http, element, ready=False)


async def test_wrong_keys_and_a_missing_bucket_are_said(
    http: aiohttp.ClientSession, bucket_options: S3Options, tmp_path: Path
) -> None:
    given = settings(bucket_options, tmp_path)
    (tmp_path / "secret_key").write_text("wrong")
    with storage_process(tmp_path / "root", **given) as element:
        await wait_for_reason(tmp_path, "refuses our credentials")
        assert not await is_ready(http, element)
    given = settings(bucket_options, tmp_path) | {"S3_BUCKET": "no-such-bucket"}
    with storage_process(tmp_path / "other", **given) as element:
        await wait_for_reason(tmp_path, "answers 404")
        assert not await is_ready(http, element)


async def test_two_elements_do_not_share_a_place(
    http: aiohttp.ClientSession, bucket_options: S3Options, tmp_path: Path
) -> None:
    with element_on(bucket_options, tmp_path) as first:
        await wait_for(http, first, ready=True)
        given = settings(bucket_options, tmp_path) | {"ELEMENT_ID": "edit-2"}
        with storage_process(tmp_path / "other", **given) as second:
            await wait_for_reason(tmp_path, "belongs to the element edit-1")
            assert not await is_ready(http, second)
        # The same element on a new volume: the former one has to stop.
        with element_on(bucket_options, tmp_path, "replacement") as third:
            await wait_for(http, third, ready=True)
            await wait_for(http, first, ready=False)
            assert (await put(http, first, b"too late"))[0] == 503


async def test_memory_does_not_follow_the_size_of_a_file(
    http: aiohttp.ClientSession, bucket_options: S3Options, tmp_path: Path
) -> None:
    size, block = 200 << 20, os.urandom(1 << 20)
    head = framed(b"")

    async def frame() -> AsyncIterator[bytes]:
        yield head
        for _ in range(size // len(block)):
            yield block

    with element_on(bucket_options, tmp_path) as element:
        await wait_for(http, element, ready=True)
        before = element.rss_bytes
        file_id = new_id()
        async with http.put(
            element.url(f"/files/{file_id}"), data=frame(), headers=FRAME
        ) as answer:
            assert answer.status == 201, await answer.text()
        digest = hashlib.sha256()
        async with http.get(element.url(f"/files/{file_id}/content")) as answer:
            async for piece in answer.content.iter_chunked(1 << 20):
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(block * (size // len(block))).digest()
        # A length that nobody said makes parts of 16 MiB, of which three are on their way.
        assert element.rss_bytes - before < 120 << 20, element.rss_bytes - before
