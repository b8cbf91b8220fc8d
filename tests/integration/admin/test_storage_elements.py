"""The registry of storage elements over HTTP, and what others read of the catalogue."""

import asyncio

import pytest
from tests.integration.admin.feed_element import FeedElement
from tests.integration.admin.following import eventually
from tests.support.admin import Admin

PATH = "/api/v1/storage-elements"


@pytest.mark.parametrize("module", ["ingester", "query"])
def test_services_read_the_registry_without_a_token(
    admin: Admin, fake: FeedElement, module: str
) -> None:
    with admin.client(module) as client:
        items = client.get(PATH).json()["items"]
    entry = next(item for item in items if item["element_id"] == fake.element_id)
    assert (entry["url"], entry["priority"]) == (fake.url, 5)


@pytest.mark.parametrize("module", ["edge", "storage", "monitoring"])
def test_others_need_a_token(admin: Admin, module: str) -> None:
    with admin.client(module) as client:
        assert client.get(PATH).status_code in (401, 403)


def test_a_token_without_the_scope_is_refused(admin: Admin) -> None:
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        assert client.get(PATH).status_code == 403


async def test_one_element_with_what_it_says_now(admin: Admin, fake: FeedElement) -> None:
    with admin.as_account() as client:
        read = await asyncio.to_thread(client.get, f"{PATH}/{fake.element_id}")
        assert read.json()["info"]["mode"] == "edit"
        fake.away = True
        read = await asyncio.to_thread(client.get, f"{PATH}/{fake.element_id}")
    assert read.status_code == 200
    assert read.json()["info"] is None


def test_changes_and_conflicts(admin: Admin, fake: FeedElement) -> None:
    with admin.as_account() as client:
        changed = client.patch(f"{PATH}/{fake.element_id}", json={"priority": 9})
        assert changed.json()["priority"] == 9
        assert client.patch(f"{PATH}/{fake.element_id}", json={"priority": -1}).status_code == 422
        assert client.patch(f"{PATH}/{fake.element_id}", json={"mode": "ro"}).status_code == 422
        assert client.patch(f"{PATH}/{fake.element_id}", json={}).json()["priority"] == 9
        assert client.patch(f"{PATH}/none", json={"priority": 9}).json()["code"] == (
            "unknown_element"
        )
        again = {"element_id": fake.element_id, "url": fake.url}
        assert client.post(PATH, json=again).json()["code"] == "name_taken"


@pytest.mark.parametrize(
    "url", ["ftp://host", "https://host/path", "https://", "file:///etc/passwd", "https://a b"]
)
def test_malformed_addresses_are_refused(admin: Admin, url: str) -> None:
    with admin.as_account() as client:
        assert client.post(PATH, json={"element_id": "x", "url": url}).status_code == 422


async def test_a_registered_element_is_followed(admin: Admin, fake: FeedElement) -> None:
    record = fake.create("letter.txt")

    with admin.as_account() as client:

        async def caught_up() -> bool:
            status = (await asyncio.to_thread(client.get, "/api/v1/catalogue")).json()
            elements = {item["element_id"]: item for item in status["elements"]}
            element = elements[fake.element_id]
            return bool(element["state"] == "following" and element["files"]["present"] == 1)

        await eventually(caught_up, "the file being found")
        ordered = await asyncio.to_thread(
            client.post, "/api/v1/catalogue/rebuild", json={"from_scratch": False}
        )
        assert ordered.status_code == 202
        assert ordered.json()["rebuilding"] is True
        await eventually(caught_up, "the rebuild ending")
    changed = fake.update(record, tags=["later"])

    async def logged() -> bool:
        applied = [line for line in admin.process.events() if line["event"] == "changes applied"]
        trace_id = fake.changes[-1].trace_id
        return any(trace_id in line["trace_ids"] for line in applied)

    await eventually(logged, f"revision {changed.revision} in the log")


def test_the_catalogue_needs_its_scopes(admin: Admin) -> None:
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        assert client.get("/api/v1/catalogue").status_code == 403
        assert client.post("/api/v1/catalogue/rebuild", json={}).status_code == 403
