"""Goal: one element takes over the files of another: the same bytes, the same attr.json, once.

Method: two real processes; either of them is killed in the middle; and a source that lies.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from tests.support.copying import ask_for_copies, staged, stored_parts
from tests.support.storage_process import (
    StorageProcess,
    Uploader,
    new_id,
    session,
    storage_process,
)

from artstore.core.model.ids import FileId

MIB = 1 << 20


@dataclass
class Side:
    element: StorageProcess
    root: Path

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.element.port}"


@contextlib.contextmanager
def side(folder: Path, **settings: object) -> Iterator[Side]:
    folder.mkdir(exist_ok=True)
    settings = {"LOG_LEVEL": "warning", **settings}
    with storage_process(folder / "element", **settings) as element:
        yield Side(element, folder / "element")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with side(tmp_path_factory.mktemp("source")) as running:
        yield running


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with side(tmp_path_factory.mktemp("target"), ELEMENT_ID="edit-2") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


async def upload(http: aiohttp.ClientSession, side: Side, *contents: bytes) -> list[FileId]:
    ids = [new_id() for _ in contents]
    uploader = Uploader(http, side.element)
    for file_id, content in zip(ids, contents, strict=True):
        assert await uploader.put(content, file_id) == 201
    return ids


async def test_copies_are_the_same_to_the_byte(
    http: aiohttp.ClientSession, source: Side, target: Side
) -> None:
    sizes = (0, 5, 64 << 10, (64 << 10) + 1, 3 * MIB)
    contents = [os.urandom(size) for size in sizes]
    ids = await upload(http, source, *contents)
    for _ in range(2):
        change = {"tags": [os.urandom(3).hex()], "original_filename": "Письмо.eml"}
        async with http.patch(source.element.url(f"/files/{ids[1]}"), json=change) as answer:
            assert answer.status == 200

    first = await ask_for_copies(http, target.element, source.origin, ids)
    again = await ask_for_copies(http, target.element, source.origin, ids)

    assert [line["file_id"] for line in first] == ids
    assert [line["status"] for line in first] == [201] * len(ids)
    assert [line["status"] for line in again] == [200] * len(ids)
    assert [line["revision"] for line in first] == [1, 3, 1, 1, 1]
    for file_id in ids:
        assert stored_parts(source.root, file_id) == stored_parts(target.root, file_id)


async def test_later_states_follow(http: aiohttp.ClientSession, source: Side, target: Side) -> None:
    changed, deleted, unseen = await upload(http, source, b"a", os.urandom(MIB), b"c")
    await ask_for_copies(http, target.element, source.origin, [changed, deleted])
    await http.patch(source.element.url(f"/files/{changed}"), json={"tags": ["later"]})
    for file_id in (deleted, unseen):
        reason = {"by": "clerk", "reason": "wish"}
        async with http.delete(source.element.url(f"/files/{file_id}"), json=reason) as answer:
            assert answer.status == 200

    ids = [changed, deleted, unseen]
    lines = await ask_for_copies(http, target.element, source.origin, ids)

    assert [line["status"] for line in lines] == [201, 201, 201]
    for file_id in ids:
        assert stored_parts(source.root, file_id) == stored_parts(target.root, file_id)
    assert len(stored_parts(target.root, deleted)) == 1


async def test_a_full_request(http: aiohttp.ClientSession, source: Side, target: Side) -> None:
    ids = await upload(http, source, *(b"file %d" % n for n in range(256)))
    lines = await ask_for_copies(http, target.element, source.origin, ids)
    assert [(line["file_id"], line["status"]) for line in lines] == [(i, 201) for i in ids]


async def test_refusals_are_for_one_file_each(
    http: aiohttp.ClientSession, source: Side, target: Side
) -> None:
    unknown, taken = new_id(), new_id()
    (good,) = await upload(http, source, b"good")
    await Uploader(http, source.element).put(b"one", taken)
    await Uploader(http, target.element).put(b"two", taken)

    lines = await ask_for_copies(http, target.element, source.origin, [unknown, taken, good])

    assert [(line["status"], line.get("code"), line.get("side")) for line in lines] == [
        (404, "unknown_file", "source"),
        (409, "file_exists", "target"),
        (201, None, None),
    ]


async def test_a_damaged_source_gives_nothing(
    http: aiohttp.ClientSession, source: Side, target: Side
) -> None:
    ids = await upload(http, source, b"a" * 5000, os.urandom(2 * MIB), b"c")
    for file_id, suffix in zip(ids, [".txt", ".txt", ".attr.json"], strict=True):
        damage(source.root, file_id + suffix)

    lines = await ask_for_copies(http, target.element, source.origin, ids)

    # The large one is found out while it is sent, and the connection is cut.
    assert [(line["code"], line["side"]) for line in lines] == [
        ("file_damaged", "source"),
        ("unavailable", "source"),
        ("file_damaged", "source"),
    ]
    assert [stored_parts(target.root, file_id) for file_id in ids] == [{}, {}, {}]
    assert staged(target.root, ids) == []


async def test_a_damaged_file_is_made_whole(
    http: aiohttp.ClientSession, source: Side, target: Side
) -> None:
    sizes = (5000, 2 * MIB, 300)
    ids = await upload(http, source, *(os.urandom(size) for size in sizes))
    await ask_for_copies(http, target.element, source.origin, ids)
    for file_id, suffix in zip(ids, [".txt", ".txt", ".attr.json"], strict=True):
        damage(target.root, file_id + suffix)

    lines = await ask_for_copies(http, target.element, source.origin, ids, "repair")

    assert [line["status"] for line in lines] == [201, 201, 201]
    for file_id in ids:
        assert stored_parts(source.root, file_id) == stored_parts(target.root, file_id)
        async with http.get(target.element.url(f"/files/{file_id}/content")) as answer:
            assert answer.status == 200


async def test_nothing_is_repaired_from_a_bad_copy(
    http: aiohttp.ClientSession, source: Side, target: Side
) -> None:
    ids = await upload(http, source, os.urandom(5000), os.urandom(2 * MIB))
    await ask_for_copies(http, target.element, source.origin, ids)
    for file_id in ids:
        damage(source.root, f"{file_id}.txt")
        damage(target.root, f"{file_id}.txt")
    before = [stored_parts(target.root, file_id) for file_id in ids]
    waiting = staged(target.root, ids)

    lines = await ask_for_copies(http, target.element, source.origin, ids, "repair")

    assert [line["side"] for line in lines] == ["source", "source"]
    assert [stored_parts(target.root, file_id) for file_id in ids] == before
    assert set(staged(target.root, ids)) <= set(waiting)


def damage(root: Path, name: str) -> None:
    (path,) = (root / "data").rglob(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a",
        "http://a/path",
        "http://user@a",
        "http://",
        "a",
        "http://a?b",
        "file:///etc/passwd",
    ],
)
async def test_a_source_is_an_origin(http: aiohttp.ClientSession, target: Side, url: str) -> None:
    wanted = {"source_url": url, "files": [new_id()], "purpose": "copy"}
    async with http.post(target.element.url("/copies"), json=wanted) as answer:
        assert answer.status == 422


async def test_a_source_that_is_away(http: aiohttp.ClientSession, target: Side) -> None:
    lines = await ask_for_copies(http, target.element, "http://127.0.0.1:1", [new_id()])
    assert [(line["status"], line["side"]) for line in lines] == [(503, "source")]


@pytest.mark.parametrize("victim", ["source", "target"])
async def test_a_kill_in_the_middle(
    http: aiohttp.ClientSession, tmp_path: Path, victim: str
) -> None:
    """Asked again after the restart, all is there, and nothing else."""
    contents = [os.urandom(size) for size in (100, 12 * MIB, 5000, 12 * MIB, 40_000, 12 * MIB)]
    # The kill must not come too late: eight files at once would be quick.
    slow = {"CHECKPOINT_INTERVAL_S": 3600}
    with side(tmp_path / "source") as source:
        ids = await upload(http, source, *contents)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(side(tmp_path / "source"))
        target = stack.enter_context(side(tmp_path / "target", ELEMENT_ID="edit-2", **slow))
        asked = asyncio.create_task(ask_for_copies(http, target.element, source.origin, ids))
        while not any(path.stat().st_size for path in (target.root / "tmp").iterdir()):
            await asyncio.sleep(0.001)
        (source if victim == "source" else target).element.kill()
        if victim == "target":
            with pytest.raises(aiohttp.ClientError):
                await asked
        else:
            lines = await asked
            assert {line["status"] for line in lines} <= {201, 503}
            failed = [line["file_id"] for line in lines if line["status"] == 503]
            assert failed
            assert staged(target.root, failed) == []

    with (
        side(tmp_path / "source") as source,
        side(tmp_path / "target", ELEMENT_ID="edit-2") as target,
    ):
        assert staged(target.root, ids) == []
        lines = await ask_for_copies(http, target.element, source.origin, ids)
        assert {line["status"] for line in lines} <= {200, 201}
        for file_id in ids:
            assert stored_parts(source.root, file_id) == stored_parts(target.root, file_id)


async def test_a_caller_who_leaves_leaves_nothing(
    http: aiohttp.ClientSession, source: Side, target: Side
) -> None:
    ids = await upload(http, source, *(os.urandom(20 * MIB) for _ in range(3)))
    asked = asyncio.create_task(ask_for_copies(http, target.element, source.origin, ids))
    while not staged(target.root, ids):
        await asyncio.sleep(0.001)
    asked.cancel()
    while staged(target.root, ids):
        await asyncio.sleep(0.01)
    lines = await ask_for_copies(http, target.element, source.origin, ids)
    assert {line["status"] for line in lines} <= {200, 201}


async def test_a_large_file_takes_no_memory(
    http: aiohttp.ClientSession, source: Side, target: Side
) -> None:
    size = int(os.environ.get("ARTSTORE_COPY_MIB", "200")) * MIB
    (file_id,) = await upload(http, source, bytes(size))
    before = target.element.rss_bytes
    peak = 0
    asked = asyncio.create_task(ask_for_copies(http, target.element, source.origin, [file_id]))
    while not asked.done():
        peak = max(peak, target.element.rss_bytes)
        await asyncio.sleep(0.01)
    assert [line["status"] for line in asked.result()] == [201]
    assert peak - before < 32 * MIB
