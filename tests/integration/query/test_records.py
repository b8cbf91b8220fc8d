"""The record of a file by its id, also in the second before the catalogue knows it."""

import asyncio
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe

import pytest
from tests.integration.query.conftest import World
from tests.support.fake_shelf import Fault
from tests.support.issuer import ISSUER
from tests.support.module_process import module_process
from tests.support.pki import Pki

from artstore.core.model.file import FileRecord


def path_of(file_id: str) -> str:
    return f"/api/v1/files/{file_id}"


async def test_the_record_is_the_attr_json(world: World) -> None:
    record = world.store(b"x", original_filename="nul\0отчёт", metadata={"big": 2**70})

    status, body, response = await world.get(path_of(record.file_id))

    assert status == 200
    assert body == record.to_json()
    assert response.headers["ETag"] == '"1"'
    async with world.request("HEAD", path_of(record.file_id)) as head:
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(body)))


@pytest.mark.parametrize(
    ("known", "status"),
    [('"1"', 304), ('W/"1"', 304), ('"0", W/"1"', 304), ("*", 304), ('"11"', 200), ("1", 200)],
)
async def test_a_record_that_the_client_has_is_not_sent_again(
    world: World, known: str, status: int
) -> None:
    record = world.store(b"x")

    for method in ("GET", "HEAD"):
        path = path_of(record.file_id)
        async with world.request(method, path, {"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (status, '"1"')


@pytest.mark.parametrize("file_id", ["x", "0" * 36, "018F0000-0000-7000-8000-000000000000"])
async def test_what_is_no_id_is_refused(world: World, file_id: str) -> None:
    for path in (path_of(file_id), path_of(file_id) + "/content"):
        status, body, _ = await world.get(path)

        assert (status, json.loads(body)["code"]) == (422, "invalid_request")
        assert json.loads(body)["field"] == "file_id"


@pytest.mark.parametrize("suffix", ["", "/content"])
async def test_a_file_that_the_catalogue_missed_for_hours_is_found(
    world: World, suffix: str
) -> None:
    record = world.other.put(world.old_id(age_s=7200), b"missed")

    status, body, _ = await world.get(path_of(record.file_id) + suffix)

    assert status == 200
    assert body == (b"missed" if suffix else record.to_json())


@pytest.mark.parametrize(("followed_until_s", "expected"), [(7100, 404), (7250, 503), (None, 503)])
async def test_an_element_that_is_away_is_excused_where_it_was_followed(
    world: World, followed_until_s: int | None, expected: int
) -> None:
    world.shelf.fault = Fault.DOWN
    world.know_complete(world.shelf, followed_until_s)

    status, _, _ = await world.get(path_of(world.old_id(age_s=7200)))

    assert status == expected


@pytest.mark.parametrize("suffix", ["", "/content"])
async def test_a_young_file_is_found_before_the_catalogue_knows_it(
    world: World, suffix: str
) -> None:
    record = world.other.put(world.old_id(age_s=1), b"young")

    status, body, _ = await world.get(path_of(record.file_id) + suffix)

    assert status == 200
    assert body == (b"young" if suffix else record.to_json())


async def test_a_young_tombstone_is_gone(world: World) -> None:
    record = world.other.put(world.old_id(age_s=1), b"young")
    world.other.delete(record.file_id)

    status, body, _ = await world.get(path_of(record.file_id))

    assert (status, json.loads(body)["code"]) == (410, "file_deleted")


async def test_a_young_id_that_all_elements_lack_is_unknown(world: World) -> None:
    status, _, _ = await world.get(path_of(world.old_id(age_s=1)))

    assert status == 404
    assert world.shelf.requests["record"] == world.other.requests["record"] == 1


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.HANG])
async def test_unknown_needs_the_word_of_every_element(world: World, fault: Fault) -> None:
    world.shelf.fault = fault

    status, body, response = await world.get(path_of(world.old_id(age_s=1)))

    assert (status, json.loads(body)["code"]) == (503, "unavailable")
    assert "Retry-After" in response.headers


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.HANG])
async def test_one_answer_is_enough(world: World, fault: Fault) -> None:
    world.shelf.fault = fault
    record = world.other.put(world.old_id(age_s=1), b"young")

    status, body, _ = await world.get(path_of(record.file_id))

    assert (status, FileRecord.from_json(body)) == (200, record)


async def test_a_deleted_file_is_gone(world: World) -> None:
    record = world.shelf.put(world.new_id(), b"x")
    world.know(world.shelf.delete(record.file_id))

    status, body, _ = await world.get(path_of(record.file_id))

    assert (status, json.loads(body)["code"]) == (410, "file_deleted")


async def test_without_the_database_everything_is_later(
    world: World, pki: Pki, tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(token_urlsafe(32))
    password_file.chmod(0o600)
    settings = {
        "ADMIN_URL": world.issuer.url,
        "ISSUER": ISSUER,
        "DATABASE_URL": f"postgresql+psycopg://nobody@/nothing?host={tmp_path}",
        "DATABASE_PASSWORD_FILE": password_file,
    }
    process = ExitStack()
    query = await asyncio.to_thread(
        process.enter_context, module_process("query", pki, settings, "query-2")
    )
    lonely = replace(world, query=query)
    file_id = world.old_id()
    for path in (
        path_of(file_id),
        path_of(file_id) + "/content",
        "/api/v1/search",
        "/api/v1/files",
    ):
        status, body, response = await lonely.get(path)

        assert (status, json.loads(body)["code"]) == (503, "unavailable")
        assert "Retry-After" in response.headers
        assert str(tmp_path) not in body.decode()
    ready = await lonely.get("/health/ready")
    assert json.loads(ready[1])["checks"] == {"database": "unavailable", "signing_keys": "ok"}
    await asyncio.to_thread(process.close)
