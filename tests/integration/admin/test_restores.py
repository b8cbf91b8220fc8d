"""Archived files come back: real elements, a real archive, a real admin module and query module.

An element's contents move to its archive; readers are told to ask for a restore; a copy can be
read for its time and goes again. Whatever is killed, missing or damaged on the way, nobody gets
wrong bytes and nothing of the archive is lost.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from tests.support.admin import ISSUER, Admin, Installation, MakeDatabase
from tests.support.element_shelf import Element, Shelf, element_shelf
from tests.support.module_process import module_process
from tests.support.pki import Pki
from tests.support.processes import short_folder, wait_until
from tests.support.valkey import TestValkey

from artstore.core.tls import client_context

LARGE = os.urandom(3 << 20)


@pytest.fixture(scope="module")
def installation(
    make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki
) -> Iterator[Installation]:
    """Of its own: another admin module would take the jobs of one that was killed."""
    with short_folder() as folder:
        made = Installation(Path(folder), make_database("restores"), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        yield made


@dataclass
class World:
    shelf: Shelf
    archive: Path
    deep: Element
    """Its files are in the archive."""
    near: Element
    """Where restored copies lie."""
    files: dict[str, bytes]

    def file(self, content: bytes) -> str:
        return next(file_id for file_id, stored in self.files.items() if stored == content)

    @property
    def http(self) -> Any:
        return self.shelf.http

    def ask(self, file_id: str, status: int = 202) -> dict[str, Any]:
        answer = self.http.post(f"/api/v1/files/{file_id}/restore")
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def state(self, file_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/api/v1/files/{file_id}/restore").json()
        return found

    def wait_for(self, file_id: str, state: str) -> dict[str, Any]:
        wait_until(lambda: self.state(file_id)["state"] == state, f"the restore being {state}")
        return self.state(file_id)

    def is_ready(self, file_id: str) -> bool:
        return bool(self.state(file_id)["state"] == "ready")

    def restored(self) -> list[Path]:
        return list((self.near.data / "restored").glob("*"))

    def archived(self, file_id: str) -> Path:
        (path,) = self.archive.rglob(f"{file_id}.txt")
        return path

    def events(self, file_id: str) -> list[dict[str, Any]]:
        statement = (
            "SELECT outcome, account FROM audit.events"
            " WHERE file_id = %s AND kind = 'file.restored'"
        )
        return self.shelf.query(statement, file_id)


def is_known(shelf: Shelf, file_id: str) -> bool:
    return bool(shelf.query("SELECT FROM catalogue.files WHERE file_id = %s", file_id))


@contextlib.contextmanager
def archived_world(admin: Admin, pki: Pki) -> Iterator[World]:
    with element_shelf(admin, pki) as shelf, short_folder() as archive:
        slowly = {"ARCHIVE_DIRECTORY": archive, "ARCHIVE_RATE_BYTES_PER_S": 1 << 20}
        deep = shelf.start("deep-1", "rw", **slowly)
        near = shelf.start("near-1", "edit")
        contents = (b"small", LARGE, b"readers", LARGE[:99], LARGE[:-1], b"away", LARGE[1:])
        files = {shelf.upload(deep, content): content for content in contents}
        for mode in ("ro", "ar"):
            order = {"mode": mode, "reason": "full", "confirm": True}
            assert shelf.post(deep, "mode", order).status_code == 200
        wait_until(lambda: any(archive.rglob("*.txt")), "the first contents in the archive")
        shelf.stop(deep)
        assert any(deep.content(file_id) for file_id in files), "it was killed in the middle"
        deep = shelf.start("deep-1", "rw", ARCHIVE_DIRECTORY=archive)
        wait_until(lambda: shelf.status(deep)["info"]["archive"]["complete"], "the archive")
        wait_until(lambda: all(is_known(shelf, file_id) for file_id in files), "the catalogue")
        yield World(shelf, archive, deep, near, files)


@pytest.fixture(scope="module")
def world(installation: Installation, pki: Pki) -> Iterator[World]:
    with installation.serve(JOB_LEASE_S=1) as admin, archived_world(admin, pki) as world:
        yield world


@contextlib.contextmanager
def reader(world: World, pki: Pki) -> Iterator[httpx2.Client]:
    """Somebody who may only read, before a real query module."""
    installation = world.shelf.admin.installation
    settings = {
        "ADMIN_URL": world.shelf.admin.process.url,
        "ISSUER": ISSUER,
        "DATABASE_URL": installation.database.query_url,
        "DATABASE_PASSWORD_FILE": installation.database.query_password_file,
    }
    token = world.shelf.admin.token("reader", installation.reader_secret)
    headers = {"Authorization": f"Bearer {token}"}
    verify = client_context(pki.files("edge"))
    with (
        module_process("query", pki, settings) as query,
        httpx2.Client(base_url=query.url, verify=verify, headers=headers, timeout=30) as client,
    ):
        yield client


def test_from_the_archive_to_a_download(world: World, pki: Pki) -> None:
    small, large = world.file(b"small"), world.file(LARGE)
    near_file = world.shelf.upload(world.near, b"near")
    assert not any(world.deep.content(file_id) for file_id in world.files)
    with reader(world, pki) as client:
        for file_id in (small, large):
            path = f"/api/v1/files/{file_id}/content"
            refused = client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (409, "file_archived")
            assert refused.json()["restore"] == f"/api/v1/files/{file_id}/restore"
            assert client.get(f"/api/v1/files/{file_id}").status_code == 200
            asked = world.ask(file_id)
            assert asked["state"] == "pending"
            assert world.ask(file_id)["job_id"] == asked["job_id"], "one restore, however often"
            world.wait_for(file_id, "ready")
            answer = client.get(path)
            assert (answer.status_code, answer.content) == (200, world.files[file_id])
        part = client.get(path, headers={"Range": "bytes=9-99"})
        assert (part.status_code, part.content) == (206, LARGE[9:100])
        assert world.state(large)["element_id"] == "near-1"

        # No file of the element that has it: neither its feed nor its listing tells of it.
        assert world.shelf.copies(large) == {}
        assert world.shelf.served_from(large) == "deep-1"
        assert len(world.restored()) == 4

        world.shelf.stop(world.near)
        world.near = world.shelf.start("near-1", "edit")
        answers = []

        def is_back() -> bool:
            answers.append(client.get(path))
            return bool(answers[-1].status_code == 200)

        wait_until(is_back, "the element at its new address")
        assert answers[-1].content == LARGE
        # It is there and cannot be reached now: another restore would be of no use.
        assert {answer.status_code for answer in answers} <= {200, 503}

        # The disk of that element was put back: whoever asks again gets the file again.
        shutil.rmtree(world.near.data / "restored")
        refused = client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "file_archived")
        assert world.ask(large)["state"] == "pending"
        world.wait_for(large, "ready")
        assert client.get(path).content == LARGE

    wait_until(lambda: is_known(world.shelf, near_file), "the catalogue")
    assert world.ask(near_file, 409)["code"] == "not_archived"
    wait_until(lambda: len(world.events(large)) == 2, "the audit")
    assert {event["outcome"] for event in world.events(large)} == {"succeeded"}
    assert all(event["account"] for event in world.events(large))
    with world.shelf.admin.client("monitoring") as client:
        metrics = client.get("/metrics").text
    assert "artstore_restore_duration_seconds_count 3.0" in metrics


def test_a_reader_may_ask_and_others_may_not(world: World) -> None:
    admin = world.shelf.admin
    path = f"/api/v1/files/{world.file(b'readers')}/restore"
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        assert client.post(path).status_code == 202
        assert client.get(path).status_code == 200
    with admin.client() as client:
        assert client.post(path).status_code == 401
    account = world.http.get("/api/v1/service-accounts/reader").json()
    grant = f"/api/v1/grants/account:{account['account_id']}/elsewhere"
    assert world.http.put(grant, json={"rights": ["read"]}).status_code == 200
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        assert client.post(path).status_code == 404
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("content", [LARGE[:99], LARGE[:-1]], ids=["small", "large"])
def test_damaged_bytes_are_refused_and_told(world: World, content: bytes) -> None:
    file_id = world.file(content)
    path = world.archived(file_id)
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)

    world.ask(file_id)
    failed = world.wait_for(file_id, "failed")

    assert failed["trouble"].startswith("file_damaged: ")
    assert not [each for each in world.restored() if file_id in each.name]
    wait_until(lambda: len(world.events(file_id)) == 1, "the audit")
    assert world.events(file_id)[0]["outcome"] == "failed"
    wait_until(lambda: world.shelf.copies(file_id)["deep-1"][0] == "damaged", "the catalogue")

    path.write_bytes(content)
    assert world.shelf.post(world.deep, "scrub", {"action": "start"}).status_code == 200
    wait_until(lambda: world.shelf.copies(file_id)["deep-1"][0] == "present", "the scrub")
    world.ask(file_id)
    world.wait_for(file_id, "ready")


def test_an_archive_that_is_away_makes_a_restore_wait(world: World) -> None:
    file_id = world.file(b"away")
    elsewhere = world.archive.with_name("elsewhere")
    world.archive.rename(elsewhere)
    world.archive.mkdir()
    try:
        world.ask(file_id)
        wait_until(lambda: "not there" in (world.state(file_id)["trouble"] or ""), "the reason")
        assert world.state(file_id)["state"] == "pending"
    finally:
        world.archive.rmdir()
        elsewhere.rename(world.archive)
    world.wait_for(file_id, "ready")


def test_everybody_killed_in_the_middle_and_then_its_time_ends(
    world: World, installation: Installation
) -> None:
    """The last one: it kills the admin module."""
    file_id = world.file(LARGE[1:])
    world.ask(file_id)
    os.kill(world.deep.process.pid, signal.SIGSTOP)
    try:
        running = "SELECT FROM jobs.jobs WHERE key = %s AND state = 'running'"
        wait_until(
            lambda: bool(world.shelf.query(running, file_id)) or world.is_ready(file_id),
            "the restore being under way",
        )
        psutil.Process(world.shelf.admin.process.pid).kill()
        world.shelf.stop(world.near)
    finally:
        os.kill(world.deep.process.pid, signal.SIGCONT)
    settings = {"JOB_LEASE_S": 1, "RESTORE_LIFETIME_S": 5}
    with installation.serve("admin-2", **settings) as other, other.as_account() as http:
        world.shelf.http = http
        world.near = world.shelf.start("near-1", "edit")
        world.wait_for(file_id, "ready")
        kept = world.near.data / "restored" / file_id
        assert kept.read_bytes() == LARGE[1:]
        assert list((world.near.data / "tmp").glob(f"{file_id}*")) == []
        wait_until(lambda: len(world.events(file_id)) == 1, "the audit")

        world.wait_for(file_id, "expired")
        wait_until(lambda: not kept.exists(), "the copy going")
        assert world.archived(file_id).read_bytes() == LARGE[1:]
        assert world.shelf.served_from(file_id) == "deep-1"
        assert world.restored(), "those whose time is not over stay"
        world.ask(file_id)
        world.wait_for(file_id, "ready")
