"""Changing and deleting files: found here, done by the element, shown at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import psycopg
import pytest
from tests.integration.admin.feed_element import FeedElement, make_record
from tests.integration.admin.following import eventually
from tests.support.admin import Admin

from artstore.core.errors import ModeForbids, RetentionForbids
from artstore.core.model.file import FileRecord

PATH = "/api/v1/files"
OLD_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
async def client(admin: Admin) -> AsyncIterator["Caller"]:
    with admin.as_account() as http:
        yield Caller(http)


class Caller:
    """The element runs in the test's event loop, so calls that reach it run in a thread."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    async def __call__(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return await asyncio.to_thread(self._http.request, method, f"{PATH}/{path}", **options)


def row(admin: Admin, record: FileRecord) -> tuple[Any, ...] | None:
    with psycopg.connect(admin.installation.database.url) as connection:
        return connection.execute(
            "SELECT state, revision, tags FROM catalogue.files WHERE file_id = %s",
            (record.file_id,),
        ).fetchone()


@pytest.fixture
async def stored(admin: Admin, fake: FeedElement) -> FileRecord:
    """A file that the catalogue shows."""
    record = fake.create("letter.txt")

    async def shown() -> bool:
        return row(admin, record) is not None

    await eventually(shown, "the file being found")
    return record


async def test_a_change_is_shown_when_it_is_answered(
    admin: Admin, client: Caller, fake: FeedElement, stored: FileRecord
) -> None:
    fake.feed_is_silent = True
    answer = await client("PATCH", stored.file_id, json={"tags": ["a", "b"]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["revision"] == 2
    assert answer.headers["etag"] == '"2"'
    assert row(admin, stored) == ("present", 2, ["a", "b"])


async def test_a_lost_update_is_refused(client: Caller, stored: FileRecord) -> None:
    in_body = await client("PATCH", stored.file_id, json={"tags": [], "expected_revision": 7})
    in_header = await client("PATCH", stored.file_id, headers={"If-Match": '"7"'}, json={})
    for answer in (in_body, in_header):
        assert (answer.status_code, answer.json()["code"]) == (409, "revision_conflict")
    fits = await client("PATCH", stored.file_id, headers={"If-Match": '"1"'}, json={"tags": ["x"]})
    assert fits.status_code == 200


@pytest.mark.parametrize("tag", ["7", "*", 'W/"1"', '"0"', '"x"'])
async def test_an_if_match_that_is_no_etag_is_refused(
    client: Caller, stored: FileRecord, tag: str
) -> None:
    answer = await client("PATCH", stored.file_id, headers={"If-Match": tag}, json={})
    assert answer.status_code == 422


async def test_a_deletion_leaves_a_tombstone(
    admin: Admin, client: Caller, stored: FileRecord
) -> None:
    gone = await client("DELETE", stored.file_id, params={"reason": "wrong scan"})
    assert gone.status_code == 200
    assert gone.json()["deleted"] is not None
    assert row(admin, stored) == ("deleted", 2, [])
    again = await client("DELETE", stored.file_id)
    assert again.json() == gone.json()
    changed = await client("PATCH", stored.file_id, json={"tags": ["x"]})
    assert (changed.status_code, changed.json()["code"]) == (410, "file_deleted")


@pytest.mark.parametrize("failure", [ModeForbids("no"), RetentionForbids("kept until 2036")])
async def test_what_the_element_forbids_is_told(
    client: Caller,
    fake: FeedElement,
    stored: FileRecord,
    failure: ModeForbids | RetentionForbids,
) -> None:
    fake.failure = failure
    answer = await client("DELETE", stored.file_id)
    assert (answer.status_code, answer.json()["code"]) == (409, failure.code)
    assert answer.json()["detail"] == failure.detail


async def test_an_element_that_is_away_is_503(
    client: Caller,
    fake: FeedElement,
    stored: FileRecord,
) -> None:
    fake.away = True
    answer = await client("DELETE", stored.file_id)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "retry-after" in answer.headers


async def test_a_young_file_is_found_before_the_catalogue_shows_it(
    client: Caller,
    fake: FeedElement,
) -> None:
    record = make_record("just arrived.txt")
    fake.records[record.file_id] = record
    answer = await client("PATCH", record.file_id, json={"tags": ["x"]})
    assert answer.status_code == 200, answer.text


async def test_a_young_file_that_nobody_has_is_404(
    client: Caller,
    fake: FeedElement,
) -> None:
    nowhere = make_record("nowhere.txt").file_id
    assert (await client("DELETE", nowhere)).status_code == 404
    fake.away = True
    assert (await client("DELETE", nowhere)).status_code == 503


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_an_old_unknown_file_is_404_also_while_an_element_is_away_that_was_followed(
    admin: Admin, client: Caller, fake: FeedElement, method: str
) -> None:
    body = {} if method == "PATCH" else None
    answer = await client(method, OLD_ID, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_file")

    fake.away = True
    assert (await client(method, OLD_ID, json=body)).status_code == 503
    set_complete_until(admin, "now()")
    assert (await client(method, OLD_ID, json=body)).status_code == 404
    set_complete_until(admin, "NULL")


def set_complete_until(admin: Admin, moment: str) -> None:
    with psycopg.connect(admin.installation.database.url) as connection:
        connection.execute(f"UPDATE catalogue.elements SET complete_until = {moment}")


@pytest.mark.parametrize("bad_id", ["x", "..%2f..%2fetc", OLD_ID.upper(), "0" * 36])
async def test_a_malformed_id_is_refused(client: Caller, bad_id: str) -> None:
    answer = await client("DELETE", bad_id)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", [{"size": 1}, {"tags": "x"}, {"original_filename": ""}, []])
async def test_a_malformed_change_is_refused(
    client: Caller, stored: FileRecord, body: object
) -> None:
    assert (await client("PATCH", stored.file_id, json=body)).status_code == 422


async def test_scopes_are_needed(admin: Admin, stored: FileRecord) -> None:
    with admin.as_account("reader", admin.installation.reader_secret) as http:
        reader = Caller(http)
        assert (await reader("PATCH", stored.file_id, json={})).status_code == 403
        assert (await reader("DELETE", stored.file_id)).status_code == 403
    with admin.client() as http:
        assert (await Caller(http)("DELETE", stored.file_id)).status_code == 401
