"""Nothing that must be audited happens when it cannot be; what happened meanwhile is not lost.

Goal: changes are refused while they cannot be written down, refusals stay refusals, reads of the
log go on, and afterwards each change has its one event.
Method: take the database, the log's folder and the log's disk away from a real admin module.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg
import pytest
from tests.integration.admin.feed_element import FeedElement
from tests.integration.admin.following import eventually
from tests.support.admin import Admin, Installation, MakeDatabase
from tests.support.auditor import Auditor, actor_name
from tests.support.pki import Pki
from tests.support.postgres import TestServer
from tests.support.processes import short_folder, wait_until
from tests.support.valkey import TestValkey

DATABASE = "audit_away"
ACCOUNTS = "/api/v1/service-accounts"


@pytest.fixture(scope="module")
def own(make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki) -> Iterator[Installation]:
    with short_folder() as folder:
        made = Installation(Path(folder), make_database(DATABASE), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="module")
def running(own: Installation) -> Iterator[Admin]:
    with own.serve() as admin:
        yield admin


@contextlib.contextmanager
def database_away(server: TestServer) -> Iterator[None]:
    """As if it had stopped, for this database alone."""
    with psycopg.connect(
        server.server.url(server.superuser, "postgres"), autocommit=True
    ) as connection:

        def allow(number: int) -> None:
            connection.execute(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT {number}")

        allow(0)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (DATABASE,)
        )
        try:
            yield
        finally:
            allow(-1)


@dataclass
class Accounts:
    """Service accounts, made one after the other."""

    client: httpx2.Client
    made: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)

    def create(self) -> int:
        name = f"account-{secrets.token_hex(6)}"
        status = self.client.post(ACCOUNTS, json={"client_id": name, "role": "user"}).status_code
        if status == 201:
            self.made[name] += 1
        else:
            self.refused.add(name)
        return status

    def have_their_events(self) -> None:
        """Each that was made has one event, those that were refused have none."""
        auditor = Auditor(self.client)

        def told() -> Counter[str]:
            details = [item["event"]["details"] for item in auditor.events(kind="account.created")]
            return Counter(found.get("client_id", "") for found in details)

        wait_until(lambda: self.made.keys() <= told().keys(), "each account having its event")
        found = told()
        assert {name: found[name] for name in self.made} == self.made
        assert not self.refused & found.keys()


def accounts(installation: Installation) -> list[str]:
    with psycopg.connect(installation.database.url) as connection:
        rows = connection.execute("SELECT client_id FROM identity.service_accounts").fetchall()
    return sorted(row[0] for row in rows)


def test_without_the_database_nothing_changes_and_refusals_stay_refusals(
    running: Admin, postgres_server: TestServer
) -> None:
    name = f"nobody-{secrets.token_hex(4)}"
    with running.as_account() as client, running.client(Authorization="Bearer x") as stranger:
        auditor, known = Auditor(client), Accounts(client)
        with database_away(postgres_server):
            assert known.create() == 503
            login = {"username": name, "password": "wrong"}
            assert client.post("/api/v1/admin-auth/login", json=login).status_code == 503
            refused = stranger.get(ACCOUNTS)
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
        wait_until(lambda: known.create() == 201, "the database being back")

        auditor.wait_for(
            lambda item: item["event"]["correlation_id"] == refused.headers["x-correlation-id"],
            kind="authorization.refused",
        )
        known.have_their_events()
        assert not [item for item in auditor.events() if actor_name(name)(item)]


@pytest.fixture
async def element(running: Admin, pki: Pki) -> AsyncIterator[FeedElement]:
    async with FeedElement(pki, f"fake-{secrets.token_hex(4)}") as fake:
        with running.as_account() as client:
            body = {"element_id": fake.element_id, "url": fake.url, "priority": 5}
            assert client.post("/api/v1/storage-elements", json=body).status_code == 201
        yield fake


async def test_an_element_is_not_asked_for_what_cannot_be_written_down(
    running: Admin, element: FeedElement, postgres_server: TestServer
) -> None:
    record = element.create()

    async def known() -> bool:
        with psycopg.connect(running.installation.database.url) as connection:
            query = "SELECT 1 FROM catalogue.files WHERE file_id = %s"
            return bool(connection.execute(query, (record.file_id,)).fetchone())

    await eventually(known, "the catalogue knowing the file")
    with running.as_account() as client:
        with database_away(postgres_server):
            answer = await asyncio.to_thread(client.delete, f"/api/v1/files/{record.file_id}")
        assert answer.status_code == 503
        assert f"DELETE /api/v1/files/{record.file_id}" not in element.requests
        assert element.records[record.file_id].deleted is None


@contextlib.contextmanager
def folder_taken(folder: Path) -> Iterator[None]:
    """Another program holds the log: its writer can do nothing."""
    folder.mkdir(exist_ok=True)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def test_a_stuck_log_delays_nothing_until_too_much_waits(own: Installation) -> None:
    folder = own.folder / "stuck"
    settings = {"AUDIT_BACKLOG_MAX": 20, "AUDIT_FOLDER": folder}
    with psycopg.connect(own.database.url) as connection:
        _forget_the_log(connection)
    with (
        folder_taken(folder),
        own.serve("admin-2", **settings) as admin,
        admin.as_account() as client,
    ):
        known = Accounts(client)
        for _ in range(5):
            assert known.create() == 201
        wait_until(lambda: known.create() == 503, "too much waiting")
        before = accounts(own)
        refused = client.post(f"{ACCOUNTS}/cli/rotate-secret")
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert accounts(own) == before
        assert client.get(ACCOUNTS).status_code == 200, "reading goes on"
    with own.serve("admin-2", **settings) as admin:
        wait_until(lambda: _can_sign_in(admin), "the backlog being written")
        with admin.as_account() as client:
            known.client = client
            wait_until(lambda: known.create() == 201, "changes going on")
            known.have_their_events()


def _can_sign_in(admin: Admin) -> bool:
    with contextlib.suppress(httpx2.HTTPStatusError):
        return bool(admin.token())
    return False


def _forget_the_log(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    connection.execute("TRUNCATE audit.log, audit.events, audit.checkpoints, audit.log_keys")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_of_the_log_loses_nothing(own: Installation, small_disk: Path) -> None:
    with psycopg.connect(own.database.url) as connection:
        _forget_the_log(connection)
    ballast = small_disk / "ballast"
    with (
        own.serve("admin-3", AUDIT_FOLDER=small_disk / "log") as admin,
        admin.as_account() as client,
    ):
        auditor, known = Auditor(client), Accounts(client)
        auditor.wait_for(kind="audit.started")
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for _ in range(5):
            assert known.create() == 201
        wait_until(lambda: _is_broken(admin), "the full disk being noticed")
        assert known.create() == 201
        ballast.unlink()

        known.have_their_events()
        auditor.verified_export()


def _is_broken(admin: Admin) -> bool:
    with admin.client("monitoring") as client:
        return "artstore_audit_log_broken 1.0" in client.get("/metrics").text
