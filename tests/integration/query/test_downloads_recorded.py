"""No content without a record of who got it; reads go on while nobody takes the records over."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import google_crc32c
import pytest
from tests.integration.query.conftest import World
from tests.support.issuer import ISSUER
from tests.support.module_process import module_process
from tests.support.pki import Pki
from tests.support.processes import eventually
from yarl import URL

from artstore.core.model.file import FileRecord
from artstore.core.recording.spool import BYTES_MAX
from artstore.core.tls import server_name

CONTENT = b"0123456789"


@pytest.fixture(autouse=True)
def _forget(world: World) -> None:
    world.issuer.reports.clear()
    world.issuer.takes_reports = True


def told(world: World, *records: FileRecord, kind: str = "file.downloaded") -> list[dict[str, Any]]:
    """Of these files: of what other tests downloaded, reports may still come."""
    file_ids = {record.file_id for record in records}
    return [
        report
        for report in world.issuer.reports
        if report["event"]["kind"] == kind
        and (not records or report["event"]["file_id"] in file_ids)
    ]


async def test_a_download_is_told_with_who_got_what(world: World) -> None:
    record = world.store(CONTENT)
    status, body, answer = await world.get(f"/api/v1/files/{record.file_id}/content")
    assert (status, body) == (200, CONTENT)

    await eventually(lambda: bool(told(world, record)))
    (report,) = told(world, record)
    event = report["event"]
    assert event["file_id"] == record.file_id
    assert event["actor"]["account"] == "account-1"
    assert event["actor"]["services"] == ["edge/edge-1", "query/query-1"]
    assert event["correlation_id"] == answer.headers["x-correlation-id"]
    assert event["details"] == {"revision": 1, "sha256": record.sha256, "size": len(CONTENT)}
    assert report["facts"]["actor_name"]["value"] == "archivist"
    assert report["facts"]["filename"]["value"] == record.original_filename


async def test_a_range_is_told_as_one(world: World) -> None:
    record = world.store(CONTENT)
    await world.get(f"/api/v1/files/{record.file_id}/content", {"Range": "bytes=2-4"})

    await eventually(lambda: bool(told(world, record)))
    details = told(world, record)[0]["event"]["details"]
    assert (details["first_byte"], details["end_byte"]) == (2, 5)


async def test_nothing_is_told_where_no_bytes_leave(world: World) -> None:
    record = world.store(CONTENT)
    path = f"/api/v1/files/{record.file_id}/content"
    async with world.request("HEAD", path) as head:
        assert head.status == 200
    status, _, _ = await world.get(path, {"If-None-Match": f'"{record.sha256}"'})
    assert status == 304
    status, _, _ = await world.get(f"/api/v1/files/{world.new_id()}/content")
    assert status in {404, 503}
    await world.get(path)

    await eventually(lambda: bool(told(world, record)))
    assert len(told(world, record)) == 1


async def test_what_no_element_hands_out_is_no_download(world: World) -> None:
    record = world.store(CONTENT)
    world.shelf.files.clear()
    status, _, _ = await world.get(f"/api/v1/files/{record.file_id}/content")
    assert status == 503
    other = world.store(CONTENT)
    await world.get(f"/api/v1/files/{other.file_id}/content")

    await eventually(lambda: bool(told(world, record, other)))
    assert [report["event"]["file_id"] for report in told(world, record, other)] == [other.file_id]


async def test_reads_go_on_while_nobody_takes_the_records(world: World) -> None:
    record = world.store(CONTENT)
    world.issuer.takes_reports = False
    for _ in range(5):
        status, body, _ = await world.get(f"/api/v1/files/{record.file_id}/content")
        assert (status, body) == (200, CONTENT)
    assert told(world, record) == []

    world.issuer.takes_reports = True
    await eventually(lambda: len(told(world, record)) == 5)
    assert len({report["event"]["event_id"] for report in told(world, record)}) == 5


async def test_a_refusal_is_told(world: World) -> None:
    path = f"/api/v1/files/{world.new_id()}/content"
    token = world.issuer.token(["files:write"])
    status, _, answer = await world.get(path, {"Authorization": f"Bearer {token}"})
    assert status == 403

    await eventually(lambda: bool(told(world, kind="authorization.refused")))
    event = told(world, kind="authorization.refused")[0]["event"]
    assert (event["outcome"], event["problem"]) == ("refused", "not_permitted")
    assert event["details"]["route"] == "/api/v1/files/{file_id}/content"
    assert event["file_id"] == path.split("/")[4]
    assert event["correlation_id"] == answer.headers["x-correlation-id"]


async def test_what_cannot_be_written_down_is_not_handed_out(
    world: World, pki: Pki, tmp_path: Path
) -> None:
    """Its spool is full of what nobody took over."""
    line = b'{"event":{},"facts":{}}'
    full = tmp_path / "000000000001.lines"
    full.write_bytes(b"%08x %b\n" % (google_crc32c.value(line), line))
    with full.open("r+b") as file:
        file.truncate(BYTES_MAX)
    world.issuer.takes_reports = False
    record = world.store(CONTENT)
    settings = {
        "ADMIN_URL": world.issuer.url,
        "ISSUER": ISSUER,
        "AUDIT_SPOOL_FOLDER": tmp_path,
        **world.database_settings,
    }
    process = module_process("query", pki, settings, "query-2")
    query = await asyncio.to_thread(process.__enter__)
    try:
        path = f"{query.url}/api/v1/files/{record.file_id}"
        for suffix, status in (("/content", 503), ("", 200)):
            async with world.session.get(
                URL(path + suffix), headers=world.headers, server_hostname=server_name("query")
            ) as answer:
                assert isinstance(answer, aiohttp.ClientResponse)
                assert answer.status == status
                assert CONTENT not in await answer.read()
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)
