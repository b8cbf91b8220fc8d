"""A download gives exactly the bytes that were stored, or it visibly fails."""

import asyncio
import hashlib
import json
import os
import re
from base64 import b64encode
from datetime import UTC, datetime
from urllib.parse import unquote

import aiohttp
import pytest
from tests.integration.query.conftest import World
from tests.support.fake_shelf import Fault
from tests.support.processes import eventually

from artstore.core.http import abandon
from artstore.core.model.file import Scan

LARGE = os.urandom(3 << 20)


def content_path(file_id: str) -> str:
    return f"/api/v1/files/{file_id}/content"


@pytest.mark.parametrize("content", [b"", b"x", LARGE])
async def test_the_whole_file(world: World, content: bytes) -> None:
    record = world.store(content, content_type="application/pdf")

    status, body, response = await world.get(content_path(record.file_id))

    assert (status, body == content) == (200, True)
    headers = response.headers
    assert headers["Content-Length"] == str(len(content))
    assert headers["Content-Type"] == "application/pdf"
    assert headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    digest = b64encode(hashlib.sha256(content).digest()).decode()
    assert headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["Content-Disposition"] == 'attachment; filename="letter.txt"'
    assert headers["Last-Modified"].endswith(" GMT")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000000-", 1_000_000, len(LARGE)),
        ("bytes=-5", len(LARGE) - 5, len(LARGE)),
        ("bytes=5-99999999", 5, len(LARGE)),
        ("bytes=-99999999", 0, len(LARGE)),
    ],
)
async def test_one_range(world: World, header: str, start: int, end: int) -> None:
    record = world.store(LARGE)

    status, body, response = await world.get(content_path(record.file_id), {"Range": header})

    assert (status, body == LARGE[start:end]) == (206, True)
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(LARGE)}"
    assert response.headers["ETag"] == f'"{record.sha256}"'


@pytest.mark.parametrize(
    "header", ["bytes=0-1,5-9", "bytes=9-1", "bytes=x", "items=0-1", "bytes", "bytes=-"]
)
async def test_ranges_nobody_needs_give_the_whole_file(world: World, header: str) -> None:
    record = world.store(b"0123456789")

    status, body, _ = await world.get(content_path(record.file_id), {"Range": header})

    assert (status, body) == (200, b"0123456789")


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999999999999-"])
async def test_a_range_behind_the_end(world: World, header: str) -> None:
    record = world.store(b"0123456789")

    status, body, response = await world.get(content_path(record.file_id), {"Range": header})

    assert (status, json.loads(body)["code"]) == (416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == "bytes */10"
    assert not world.shelf.requests["content"]


async def read_into(got: bytearray, world: World, path: str) -> None:
    async with world.request("GET", path) as response:
        async for chunk in response.content.iter_any():
            got += chunk


async def test_a_cut_download_resumes(world: World) -> None:
    record = world.store(LARGE)
    world.shelf.fault = Fault.CUT
    got, etag = bytearray(), f'"{record.sha256}"'
    with pytest.raises(aiohttp.ClientPayloadError):
        await read_into(got, world, content_path(record.file_id))
    assert 0 < len(got) < len(LARGE)
    world.shelf.fault = Fault.NONE

    status, body, _ = await world.get(
        content_path(record.file_id), {"Range": f"bytes={len(got)}-", "If-Range": etag}
    )

    assert status == 206
    assert hashlib.sha256(got + body).hexdigest() == record.sha256


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"{sha256}"', 206),
        ("{date}", 206),
        ('"other"', 200),
        ('W/"{sha256}"', 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
        ("nonsense", 200),
    ],
)
async def test_if_range_gives_a_part_only_of_the_same_file(
    world: World, condition: str, status: int
) -> None:
    record = world.store(b"0123456789")
    _, _, first = await world.get(content_path(record.file_id))
    condition = condition.format(sha256=record.sha256, date=first.headers["Last-Modified"])

    answer = await world.get(
        content_path(record.file_id), {"Range": "bytes=5-", "If-Range": condition}
    )

    assert answer[:2] == ((206, b"56789") if status == 206 else (200, b"0123456789"))


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"{sha256}"', 304),
        ('W/"{sha256}"', 304),
        ('"a", "{sha256}"', 304),
        ("*", 304),
        ('"other"', 200),
    ],
)
async def test_if_none_match_is_answered_without_the_element(
    world: World, condition: str, status: int
) -> None:
    record = world.store(b"x")

    answer = await world.get(
        content_path(record.file_id), {"If-None-Match": condition.format(sha256=record.sha256)}
    )

    assert answer[0] == status
    assert world.shelf.requests["content"] == (0 if status == 304 else 1)
    if status == 304:
        assert answer[1] == b""
        assert answer[2].headers["ETag"] == f'"{record.sha256}"'


async def test_head_is_answered_without_the_element(world: World) -> None:
    record = world.store(LARGE)

    async with world.request("HEAD", content_path(record.file_id)) as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(LARGE))
        assert response.headers["ETag"] == f'"{record.sha256}"'
    assert not world.shelf.requests["content"]


@pytest.mark.parametrize(
    ("name", "saved_as"),
    [
        ("отчёт.pdf", "отчёт.pdf"),
        ("ж" * 300 + ".pdf", "ж" * 300 + ".pdf"),
        ('a"b.txt', 'a"b.txt'),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("nul\0byte", "nul_byte"),
        ("two\r\nSet-Cookie: x=1", "two__Set-Cookie: x=1"),
        ("\u202efdp.exe", "_fdp.exe"),
    ],
)
async def test_a_name_is_offered_that_can_be_saved(world: World, name: str, saved_as: str) -> None:
    record = world.store(b"x", original_filename=name)

    status, _, response = await world.get(content_path(record.file_id))

    assert status == 200
    disposition = response.headers["Content-Disposition"]
    extended = re.search(r"filename\*=UTF-8''(\S+)", disposition)
    plain = re.search(r'filename="([^"]*)"', disposition)
    assert plain is not None
    assert (unquote(extended[1]) if extended else plain[1]) == saved_as


async def test_unknown_and_deleted(world: World) -> None:
    deleted = world.store(b"x")
    world.shelf.delete(deleted.file_id)
    later = world.store(b"y")
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE catalogue.files SET state = 'deleted' WHERE file_id = %s", (deleted.file_id,)
        )
    world.shelf.delete(later.file_id)

    for file_id, status, code in [
        (world.old_id(), 404, "unknown_file"),
        (deleted.file_id, 410, "file_deleted"),
        (later.file_id, 410, "file_deleted"),  # the catalogue does not know yet
    ]:
        answer = await world.get(content_path(file_id))
        assert (answer[0], json.loads(answer[1])["code"]) == (status, code)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DOWN, Fault.IGNORE_RANGE, Fault.OTHER_BYTES])
async def test_a_failing_element_means_later_and_never_deleted(world: World, fault: Fault) -> None:
    record = world.store(b"0123456789")
    world.shelf.fault = fault

    status, body, response = await world.get(content_path(record.file_id), {"Range": "bytes=2-3"})

    assert (status, json.loads(body)["code"]) == (503, "unavailable")
    assert "Retry-After" in response.headers
    assert "127.0.0.1" not in body.decode()


async def test_a_missing_file_is_still_tried(world: World) -> None:
    record = world.store(b"x", state="missing")

    assert (await world.get(content_path(record.file_id)))[:2] == (200, b"x")


async def test_a_client_that_leaves_stops_the_element(world: World) -> None:
    record = world.store(bytes(256 << 20))
    async with world.request("GET", content_path(record.file_id)) as response:
        await response.content.readexactly(1000)
        abandon(response)

    await eventually(lambda: world.shelf.left == 1)
    assert world.shelf.sent_bytes < 256 << 20


async def test_a_client_that_takes_nothing_is_cut_off_and_costs_no_memory(world: World) -> None:
    record = world.store(bytes(128 << 20))
    before = world.query.rss_bytes
    async with world.request("GET", content_path(record.file_id)):
        await eventually(lambda: world.shelf.left == 1)
        assert world.query.rss_bytes - before < 64 << 20
    assert world.shelf.sent_bytes < 64 << 20


async def test_a_large_file_costs_no_memory(world: World) -> None:
    record = world.store(bytes(256 << 20))
    before = peak = world.query.rss_bytes
    size = 0
    async with world.request("GET", content_path(record.file_id)) as response:
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size % 50 == 0:
                peak = max(peak, world.query.rss_bytes)

    assert size == record.size
    assert max(peak, world.query.rss_bytes) - before < 64 << 20


@pytest.mark.parametrize("path", ["/content", ""])
async def test_reading_needs_a_token_with_its_scope(world: World, path: str) -> None:
    record = world.store(b"x")
    url = f"/api/v1/files/{record.file_id}{path}"
    writer = f"Bearer {world.issuer.token(['files:write'])}"

    assert (await world.get(url, {"Authorization": "Bearer x.y.z"}))[0] == 401
    assert (await world.get(url, {"Authorization": writer}))[0] == 403


async def test_bytes_are_counted(world: World) -> None:
    record = world.store(LARGE)
    before = await downloaded_bytes(world)

    await world.get(content_path(record.file_id))

    assert await downloaded_bytes(world) - before == len(LARGE)


async def downloaded_bytes(world: World) -> float:
    _, body, _ = await world.get("/metrics")
    (line,) = [
        x for x in body.decode().splitlines() if x.startswith("artstore_download_bytes_total")
    ]
    return float(line.rpartition(" ")[2])


async def test_many_at_once(world: World) -> None:
    record = world.store(LARGE)

    answers = await asyncio.gather(*(world.get(content_path(record.file_id)) for _ in range(20)))

    assert all(body == LARGE for _, body, _ in answers)


async def test_a_file_in_quarantine_is_handed_out_to_nobody(world: World) -> None:
    found = Scan(
        engine="ClamAV", verdict="infected", at=datetime.now(UTC), reason="X", quarantined=True
    )
    record = world.store(b"bad", scan=found)
    marked = world.store(b"marked", scan=found.model_copy(update={"quarantined": False}))

    for method in ("GET", "HEAD"):
        async with world.request(method, content_path(record.file_id)) as response:
            assert response.status == 403
    status, body, _ = await world.get(content_path(record.file_id), {"Range": "bytes=0-0"})
    assert (status, json.loads(body)["code"]) == (403, "file_quarantined")
    assert (await world.get(f"/api/v1/files/{record.file_id}"))[0] == 200
    assert (await world.get(content_path(marked.file_id)))[:2] == (200, b"marked")
