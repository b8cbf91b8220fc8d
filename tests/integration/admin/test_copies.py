"""Second copies between real elements: made, brought forward, mended, counted, drained."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.admin import ISSUER, Admin
from tests.support.element_shelf import Shelf, element_shelf
from tests.support.module_process import module_process
from tests.support.pki import Pki
from tests.support.processes import wait_until

from artstore.admin.services.copies.keeping import BATCH_FILES_MAX
from artstore.core.tls import client_context

FILES = BATCH_FILES_MAX + 10


@pytest.fixture
def shelf(admin: Admin, pki: Pki) -> Iterator[Shelf]:
    with element_shelf(admin, pki) as shelf:
        yield shelf


PRESENT = ("present", 1)


def test_a_second_copy_appears_and_is_the_same_to_the_byte(shelf: Shelf) -> None:
    first, second = shelf.start("copy-a"), shelf.start("copy-b")
    shelf.want_copies(2)
    small = shelf.upload(first, b"small")
    large = shelf.upload(first, os.urandom(1 << 20))
    for file_id in (small, large):
        shelf.has(file_id, {"copy-a": PRESENT, "copy-b": PRESENT})
        assert shelf.on_disk(first, file_id) == shelf.on_disk(second, file_id)
        assert shelf.served_from(file_id) == "copy-a"


def test_a_change_and_a_deletion_reach_both(shelf: Shelf) -> None:
    first, second = shelf.start("copy-a"), shelf.start("copy-b")
    shelf.want_copies(2)
    file_id = shelf.upload(first, b"content")
    shelf.has(file_id, {"copy-a": PRESENT, "copy-b": PRESENT})
    assert shelf.http.patch(f"/api/v1/files/{file_id}", json={"tags": ["x"]}).status_code == 200
    shelf.has(file_id, {"copy-a": ("present", 2), "copy-b": ("present", 2)})
    assert shelf.on_disk(first, file_id) == shelf.on_disk(second, file_id)
    assert shelf.http.delete(f"/api/v1/files/{file_id}").status_code == 200
    shelf.has(file_id, {"copy-a": ("deleted", 3), "copy-b": ("deleted", 3)})
    wait_until(lambda: not second.content(file_id), "the second content going")


def test_the_policy_turned_on_covers_what_is_there_and_turned_off_deletes_nothing(
    shelf: Shelf,
) -> None:
    first = shelf.start("copy-a")
    files = [shelf.upload(first, f"{number}".encode()) for number in range(FILES)]
    wait_until(
        lambda: (
            len(shelf.query("SELECT 1 FROM catalogue.files WHERE element_id = 'copy-a'")) == FILES
        ),
        "the catalogue",
    )
    second = shelf.start("copy-b")
    shelf.want_copies(2)
    wait_until(
        lambda: (
            len(shelf.query("SELECT 1 FROM catalogue.copies WHERE element_id = 'copy-b'")) == FILES
        ),
        "all second copies",
    )
    job = walk_of(shelf)
    assert job["progress"] == {"after": None, "files": FILES, "total": FILES}
    shelf.want_copies(1)
    late = shelf.upload(first, b"late")
    wait_until(
        lambda: len(shelf.query("SELECT 1 FROM catalogue.files WHERE file_id = %s", late)) == 1,
        "the late file",
    )
    assert shelf.http.patch(f"/api/v1/files/{files[0]}", json={"tags": ["x"]}).status_code == 200
    shelf.has(files[0], {"copy-a": ("present", 2), "copy-b": ("present", 2)})
    assert shelf.copies(late) == {}
    assert all(second.content(file_id) for file_id in files)


def walk_of(shelf: Shelf) -> dict[str, Any]:
    def job() -> dict[str, Any]:
        items = shelf.http.get("/api/v1/jobs").json()["items"]
        found: dict[str, Any] = next(each for each in items if each["key"] == shelf.collection)
        return found

    def is_through() -> bool:
        """Queued before it began, and again, for the next day, when it is through."""
        found = job()
        return found["state"] == "queued" and "total" in found["progress"]

    wait_until(is_through, "the end of the walk")
    return job()


def test_without_room_elsewhere_the_file_waits_and_is_counted(shelf: Shelf) -> None:
    first = shelf.start("copy-a")
    shelf.start("copy-rw", mode="rw")
    shelf.want_copies(2)
    file_id = shelf.upload(first, b"content")

    def trouble() -> str | None:
        statement = "SELECT trouble FROM catalogue.copies_due WHERE file_id = %s"
        rows = shelf.query(statement, file_id)
        return rows[0]["trouble"] if rows else None

    wait_until(lambda: "this mode" in (trouble() or ""), "the reason")
    assert shelf.copies(file_id) == {}
    shelf.start("copy-b")
    shelf.has(file_id, {"copy-a": PRESENT, "copy-b": PRESENT})
    wait_until(lambda: trouble() is None, "nothing being due")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damage_is_found_by_the_scrub_and_mended_from_the_other(shelf: Shelf) -> None:
    first, second = shelf.start("copy-a"), shelf.start("copy-b")
    shelf.want_copies(2)
    content = os.urandom(100_000)
    file_id = shelf.upload(first, content)
    shelf.has(file_id, {"copy-a": PRESENT, "copy-b": PRESENT})
    (path,) = first.content(file_id)
    flip(path)
    started = shelf.post(first, "scrub", {"action": "start"})
    assert started.status_code == 200, started.text
    wait_until(
        lambda: shelf.status(first)["info"]["scrub"]["last_completed_at"] is not None, "the scrub"
    )

    def mended() -> bool:
        found = first.content(file_id)
        return bool(found and found[0].read_bytes() == content)

    wait_until(mended, "the repair")
    shelf.has(file_id, {"copy-a": PRESENT, "copy-b": PRESENT})
    assert shelf.on_disk(first, file_id) == shelf.on_disk(second, file_id)

    def kinds() -> set[str]:
        statement = "SELECT kind FROM audit.events WHERE file_id = %s"
        return {row["kind"] for row in shelf.query(statement, file_id)}

    wanted = {"file.uploaded", "file.copied", "file.damage_found", "file.repaired"}
    wait_until(lambda: wanted <= kinds(), "the audit")
    digest = hashlib.sha256(content).hexdigest()
    assert json.loads(shelf.on_disk(first, file_id)[1])["digests"][0]["value"] == digest


def test_a_download_goes_on_when_the_first_element_is_gone(shelf: Shelf, pki: Pki) -> None:
    first, _ = shelf.start("copy-a"), shelf.start("copy-b")
    shelf.want_copies(2)
    content = os.urandom(300_000)
    file_id = shelf.upload(first, content)
    shelf.has(file_id, {"copy-a": PRESENT, "copy-b": PRESENT})
    database = shelf.admin.installation.database
    settings = {
        "ADMIN_URL": shelf.admin.process.url,
        "ISSUER": ISSUER,
        "DATABASE_URL": database.query_url,
        "DATABASE_PASSWORD_FILE": database.query_password_file,
    }
    headers = {"Authorization": f"Bearer {shelf.admin.token()}"}
    verify = client_context(pki.files("edge"))
    with (
        module_process("query", pki, settings) as query,
        httpx2.Client(base_url=query.url, verify=verify, headers=headers, timeout=30) as reader,
    ):
        path = f"/api/v1/files/{file_id}/content"
        assert reader.get(path).content == content
        shelf.stop(first)
        for _ in range(3):
            answer = reader.get(path)
            assert (answer.status_code, answer.content == content) == (200, True)


def test_a_drained_element_may_be_taken_off(shelf: Shelf) -> None:
    first = shelf.start("copy-a")
    files = [shelf.upload(first, f"{number}".encode()) for number in range(20)]
    gone = shelf.upload(first, b"gone")
    assert shelf.http.delete(f"/api/v1/files/{gone}").status_code == 200
    drained = shelf.post(first, "drain", {"on": True})
    assert drained.json()["drain"] == "draining"
    path = "/api/v1/storage-elements/copy-a"

    def left() -> int | None:
        return shelf.status(first)["files_left"]  # type: ignore[no-any-return]

    wait_until(lambda: left() == 20, "the count of what is left")
    refused = shelf.http.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "element_in_use")
    assert refused.json()["files_left"] == 20
    second = shelf.start("copy-b")
    wait_until(lambda: shelf.status(first)["drain"] == "drained", "the drain")
    assert left() == 0
    assert {shelf.served_from(file_id) for file_id in files} == {"copy-b"}
    assert all(first.content(file_id) for file_id in files)
    shelf.stop(first)
    assert shelf.http.delete(path).status_code == 204
    assert shelf.http.get(path).status_code == 404
    changed = shelf.http.patch(f"/api/v1/files/{files[0]}", json={"tags": ["x"]})
    assert changed.status_code == 200, changed.text
    assert len(second.content(files[0])) == 1


def test_an_element_that_is_away_in_the_middle_of_a_drain(shelf: Shelf) -> None:
    first, second = shelf.start("copy-a"), shelf.start("copy-b")
    files = [shelf.upload(first, os.urandom(1000)) for _ in range(FILES)]
    shelf.post(first, "drain", {"on": True})
    wait_until(
        lambda: len(shelf.query("SELECT 1 FROM catalogue.copies WHERE element_id = 'copy-b'")) > 0,
        "the first copies",
    )
    shelf.stop(second)
    assert shelf.http.delete("/api/v1/storage-elements/copy-a").status_code == 409
    shelf.start("copy-b")
    wait_until(lambda: shelf.status(first)["drain"] == "drained", "the drain")
    assert {shelf.served_from(file_id) for file_id in files} == {"copy-b"}


def test_a_drain_that_is_called_off(shelf: Shelf) -> None:
    first = shelf.start("copy-a")
    shelf.post(first, "drain", {"on": True})
    assert shelf.post(first, "drain", {"on": False}).json()["drain"] == "off"
    assert shelf.post(first, "drain", {"on": False, "x": 1}).status_code == 422


def test_the_mode_is_changed_by_whom_and_why(shelf: Shelf) -> None:
    name = f"copy-rw-{secrets.token_hex(3)}"
    element = shelf.start(name, mode="rw")
    body = {"mode": "ro", "reason": "full"}
    asked = shelf.post(element, "mode", body)
    assert (asked.status_code, asked.json()["code"]) == (409, "confirmation_required")
    done = shelf.post(element, "mode", {**body, "confirm": True})
    assert done.json()["mode"] == "ro"

    def events() -> list[dict[str, Any]]:
        return shelf.query(
            "SELECT outcome, account FROM audit.events "
            "WHERE kind = 'element.mode_changed' AND element_id = %s ORDER BY at",
            name,
        )

    wait_until(lambda: len(events()) == 2, "both events")
    assert [event["outcome"] for event in events()] == ["refused", "succeeded"]
    assert all(event["account"] for event in events())


def test_collections_and_their_errors(shelf: Shelf) -> None:
    path = "/api/v1/collections"
    made = shelf.http.post(path, json={"collection": shelf.collection, "title": "Personnel"})
    assert (made.status_code, made.json()["copies"]) == (201, 1)
    assert shelf.http.post(path, json={"collection": shelf.collection}).json()["code"] == (
        "name_taken"
    )
    changed = shelf.http.patch(f"{path}/{shelf.collection}", json={"copies": 2})
    assert changed.json()["copies"] == 2
    assert changed.json()["title"] == "Personnel"
    for body in ({"copies": 3}, {"copies": 0}, {"owner": "x"}, {"title": "x" * 257}):
        assert shelf.http.patch(f"{path}/{shelf.collection}", json=body).status_code == 422
    assert shelf.http.get(f"{path}/none").json()["code"] == "unknown_collection"
    assert shelf.http.get(f"{path}/{shelf.collection}").json()["title"] == "Personnel"
    names = [each["collection"] for each in shelf.http.get(path).json()["items"]]
    assert shelf.collection in names
    with shelf.admin.as_account("reader", shelf.admin.installation.reader_secret) as reader:
        assert reader.get(path).status_code == 403
        assert reader.post(path, json={"collection": "x"}).status_code == 403


def test_jobs_and_their_errors(shelf: Shelf) -> None:
    shelf.want_copies(2)
    job = walk_of(shelf)
    assert shelf.http.get(f"/api/v1/jobs/{job['job_id']}").json()["kind"] == "copies.collection"
    cancelled = shelf.http.post(f"/api/v1/jobs/{job['job_id']}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    again = shelf.http.post(f"/api/v1/jobs/{job['job_id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_ended")
    assert shelf.http.get("/api/v1/jobs/999999999").json()["code"] == "unknown_job"
    assert shelf.http.get("/api/v1/jobs/x").status_code == 422
    listed = shelf.http.get("/api/v1/jobs", params={"state": "cancelled", "limit": 1}).json()
    assert listed["items"][0]["job_id"] == job["job_id"]
    assert listed["next_cursor"] == str(job["job_id"])
    with shelf.admin.as_account("reader", shelf.admin.installation.reader_secret) as reader:
        assert reader.get("/api/v1/jobs").status_code == 403
        assert reader.post(f"/api/v1/jobs/{job['job_id']}/cancel").status_code == 403
