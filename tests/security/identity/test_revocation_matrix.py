"""Goal: a revoked token gets nobody in, whatever of PostgreSQL and Valkey is up, down or hanging;
a good one goes on as long as either is up; with both away nobody gets in after a while.

Method: the real admin, ingester and query on servers of their own, which are killed (SIGKILL) and
frozen (SIGSTOP). The ingester hears of revocations from the admin module only, query from Valkey
too. The longest age of the mirrors is 5 s here instead of 60 s.

All nine cases: ARTSTORE_FULL_MATRIX=1; else those that differ most.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from tests.support import postgres, valkey
from tests.support.admin import ISSUER, Admin, Installation
from tests.support.breakable import BreakableServer
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.processes import short_folder, wait_until

from artstore.core.tls import client_context

AGE_MAX_S = 5
ACCEPTED = {"admin": 200, "ingester": 422, "query": 422}
"""What follows a good token: a list, and the fault of a request that was let in."""
STATES = ("up", "down", "hanging")
SAMPLE = {("up", "hanging"), ("hanging", "up"), ("down", "down")}
CASES = [
    case
    for case in itertools.product(STATES, STATES)
    if case in SAMPLE or "ARTSTORE_FULL_MATRIX" in os.environ
]


@dataclass
class World:
    admin: Admin
    ingester: ModuleProcess
    query: ModuleProcess
    database: BreakableServer
    valkey: BreakableServer

    def new_token(self) -> str:
        return self.admin.token()

    def statuses(self, token: str) -> dict[str, int]:
        """What each module answers to a request that needs nothing but a good token."""
        asked: dict[str, Callable[[httpx2.Client], httpx2.Response]] = {
            self.admin.process.url: lambda client: client.get("/api/v1/revocations"),
            self.ingester.url: lambda client: client.post("/api/v1/files", content=b"x"),
            self.query.url: lambda client: client.get("/api/v1/files/malformed/content"),
        }
        context = client_context(self.admin.installation.pki.files("edge"))
        statuses = {}
        for url, ask in asked.items():
            headers = {"Authorization": f"Bearer {token}"}
            with httpx2.Client(base_url=url, verify=context, headers=headers, timeout=20) as client:
                statuses[url] = ask(client).status_code
        names = ("admin", "ingester", "query")
        return dict(zip(names, statuses.values(), strict=True))

    def accept(self, token: str) -> bool:
        return self.statuses(token) == ACCEPTED

    def refuse(self, token: str) -> bool:
        return set(self.statuses(token).values()) == {401}

    def valkey_knows_all(self) -> bool:
        with self.admin.as_account() as client:
            known = client.get("/api/v1/revocations").json()["items"]
        with redis.Redis.from_url(self.admin.installation.valkey.url) as client:
            return int(client.get("artstore:revocations:head") or 0) >= known[-1]["seq"]

    def revoke(self, token: str) -> int:
        body = {
            "client_id": "cli",
            "client_secret": self.admin.installation.cli_secret,
            "token": token,
        }
        with self.admin.client() as client:
            return client.post("/api/v1/auth/revoke", data=body).status_code


@contextlib.contextmanager
def databases() -> Iterator[tuple[BreakableServer, BreakableServer, Any, Any]]:
    with (
        postgres.prepared_server() as made,
        valkey.prepared_server() as (server, cache),
        short_folder() as logs,
    ):
        database = BreakableServer(made.server.command(), made.server.is_ready, logs / "pg")
        fast = BreakableServer(
            server.command(), lambda _: server.is_ready(cache.password), logs / "valkey"
        )
        with database.running(), fast.running():
            yield database, fast, made, cache


@pytest.fixture(scope="module")
def world(pki: Pki) -> Iterator[World]:
    with databases() as (database, fast, made, cache), short_folder() as folder:
        installation = Installation(Path(folder), made.database("matrix"), cache, pki)
        installation.write()
        done = installation.prepare()
        assert done.returncode == 0, done.stderr
        age = {"REVOCATION_AGE_MAX_S": AGE_MAX_S}
        with installation.serve(**age) as admin:
            common = {"ADMIN_URL": admin.process.url, "ISSUER": ISSUER, **age}
            own = {
                "DATABASE_URL": installation.database.query_url,
                "DATABASE_PASSWORD_FILE": installation.database.query_password_file,
                "VALKEY_URL": cache.bare_url,
                "VALKEY_USERNAME": cache.username,
                "VALKEY_PASSWORD_FILE": cache.password_file,
            }
            with (
                module_process("ingester", pki, common) as ingester,
                module_process("query", pki, {**common, **own}) as query,
            ):
                yield World(admin, ingester, query, database, fast)


def bring(server: BreakableServer, state: str) -> None:
    match state:
        case "down":
            server.kill()
        case "hanging":
            server.freeze()


@pytest.mark.parametrize(("database", "cache"), CASES)
def test_revoked_stays_revoked_and_good_stays_good(world: World, database: str, cache: str) -> None:
    good, revoked, late = (world.new_token() for _ in range(3))
    wait_until(lambda: world.accept(good) and world.accept(late), "all modules being fresh")
    assert world.revoke(revoked) == 200
    wait_until(lambda: world.refuse(revoked), "the revocation before")
    wait_until(world.valkey_knows_all, "Valkey catching up with the case before")
    bring(world.database, database)
    bring(world.valkey, cache)
    try:
        _check_revoking(world, late, database)
        assert set(world.statuses(revoked).values()) <= {401, 503}
        if "up" in (database, cache):
            time.sleep(AGE_MAX_S + 1)
            assert world.statuses(good) == ACCEPTED
            assert world.refuse(revoked)
        else:
            everyone_unsure = {"admin": 503, "ingester": 503, "query": 503}
            wait_until(
                lambda: world.statuses(good) == everyone_unsure, "nobody letting anybody in", 30
            )
    finally:
        world.database.restore()
        world.valkey.restore()
    wait_until(lambda: world.accept(good), "all modules being fresh again")
    assert world.refuse(revoked)


def _check_revoking(world: World, token: str, database: str) -> None:
    """Without the record nothing is revoked, and nobody is told so."""
    if database == "up":
        assert world.revoke(token) == 200
        wait_until(lambda: world.refuse(token), "the revocation", limit_s=10)
        return
    health = lambda: _ready(world.admin)  # noqa: E731
    wait_until(lambda: health() == 503, "the admin module noticing", limit_s=15)
    assert world.revoke(token) == 503


def _ready(admin: Admin) -> int:
    with admin.client() as client:
        return client.get("/health/ready").status_code


def test_valkey_that_lost_its_data_gets_it_back(world: World) -> None:
    revoked, good = world.new_token(), world.new_token()
    assert world.revoke(revoked) == 200
    with redis.Redis.from_url(world.admin.installation.valkey.url) as client:
        client.delete("artstore:revocations", "artstore:revocations:head")
        wait_until(lambda: client.exists("artstore:revocations:head") == 1, "the head coming back")
        assert client.xlen("artstore:revocations") >= 1
    assert world.refuse(revoked)
    assert world.accept(good)
