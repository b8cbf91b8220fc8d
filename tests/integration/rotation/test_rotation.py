"""Goal: credentials of PostgreSQL and Valkey are replaced without anybody noticing, and a rotation
that is killed, wherever it is, goes on.

Method: real servers, pools as modules have them under constant use, and kill -9 at every step.
"""

import asyncio
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from sqlalchemy import text
from tests.support.postgres import TestDatabase, TestServer
from tests.support.processes import running, short_folder
from tests.support.rotation_worker import credential_of, rotation_in

from artstore.core.clock import SystemClock
from artstore.core.database import Database
from artstore.core.private_files import private_folder, write_private
from artstore.core.secrets.chain import Login, Secrets
from artstore.core.secrets.sources import FileSecrets
from artstore.core.valkey import valkey_client
from artstore.local import programs
from artstore.local import valkey as local_valkey
from artstore.rotation.postgresql import login_in, make_login
from artstore.rotation.procedure import Rotation, RotationFailed, Step

KINDS = ("postgresql", "valkey")
FILES = {"postgresql": "login", "valkey": "user"}


@pytest.fixture(scope="module")
def valkey_order() -> Iterator[dict[str, str]]:
    with short_folder() as folder:
        passwords = [secrets.token_urlsafe(32) for _ in range(3)]
        server = local_valkey.Valkey(
            programs.valkey_server(), folder / "data", folder / "valkey.conf", folder
        )
        server.configure(*passwords)
        with running(server.command(), lambda _: server.is_ready(passwords[0]), folder / "log"):
            yield {
                "kind": "valkey",
                "username": local_valkey.USERNAME,
                "url": server.url,
                "keeper": local_valkey.KEEPER,
                "keeper_password": passwords[2],
                "password": passwords[0],
            }


@pytest.fixture(scope="module")
def postgres_order(
    postgres_server: TestServer, make_database: Callable[[str], TestDatabase]
) -> dict[str, str]:
    made = make_database("rotation")
    superuser = postgres_server.superuser
    url = f"postgresql:///{made.name}?host={postgres_server.server.sockets}"
    first = Login("rotating", secrets.token_urlsafe(32))
    with psycopg.connect(url, user=superuser.role, password=superuser.password) as connection:
        make_login(connection, first, "rotating", {})
        connection.execute("GRANT ALL ON DATABASE rotation TO rotating")
    return {
        "kind": "postgresql",
        "username": "rotating",
        "url": url,
        "keeper": superuser.role,
        "keeper_password": superuser.password,
        "password": first.password,
    }


@pytest.fixture
def order(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres_order: dict[str, str],
    valkey_order: dict[str, str],
) -> Iterator[dict[str, Any]]:
    """The server is as the last test left it, and so is the password."""
    shared = postgres_order if request.param == "postgresql" else valkey_order
    folder = private_folder(tmp_path / "secrets")
    file = folder / FILES[request.param]
    write_private(file, shared["password"])
    yield shared | {"secrets": str(folder), "state": str(tmp_path / "state")}
    shared["password"] = file.read_text()


def secret_of(order: dict[str, Any]) -> str:
    return (Path(order["secrets"]) / FILES[order["kind"]]).read_text()


def is_good(order: dict[str, Any], secret: str) -> bool:
    login = login_in(secret, order["username"])
    assert login.username
    if order["kind"] == "postgresql":
        try:
            with psycopg.connect(order["url"], user=login.username, password=login.password):
                return True
        except psycopg.OperationalError:
            return False
    with Redis.from_url(
        order["url"], username=login.username, password=login.password, protocol=2
    ) as client:
        try:
            return bool(client.ping())
        except AuthenticationError:
            return False


@pytest.mark.parametrize("order", KINDS, indirect=True)
@pytest.mark.parametrize("step", list(Step)[1:])
def test_killed_at_any_step_it_goes_on(order: dict[str, Any], step: Step) -> None:
    order["seen_after_s"] = 0.1  # Nobody looks.
    old = secret_of(order)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.support.rotation_worker", step],
        input=json.dumps(order),
        text=True,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    state = Path(order["state"])
    (record,) = state.glob("*.json")
    assert record.stat().st_mode & 0o077 == 0
    assert is_good(order, secret_of(order)), "what modules read was no good while it stood still"

    told: list[str] = []
    rotation = rotation_in(state, told)
    credential = credential_of(order)
    pending = rotation.pending(credential.name)
    assert pending is not None
    assert pending.step == step
    outcome = rotation.rotate(credential)

    assert outcome.resumed_after == step
    assert secret_of(order) == pending.new != old
    assert is_good(order, pending.new)
    assert not is_good(order, old)
    assert told == [credential.name]
    assert list(state.glob("*.json")) == []


@pytest.mark.parametrize("order", KINDS, indirect=True)
async def test_no_user_fails_and_each_ends_up_with_the_new_one(order: dict[str, Any]) -> None:
    chain = Secrets([FileSecrets({}, Path(order["secrets"]))], SystemClock())
    source = chain.login_source(FILES[order["kind"]])
    database = Database(
        order["url"].replace("postgresql:", "postgresql+psycopg:")
        if order["kind"] == "postgresql"
        else "postgresql+psycopg://nobody@/none",
        lambda: Login(source().username or order["username"], source().password),
        application_name="query-9",
        pool_size=4,
    )
    client = valkey_client(
        order["url"] if order["kind"] == "valkey" else "redis://127.0.0.1:9",
        order["username"],
        source,
        None,
        timeout_s=10,
    )
    renewing = asyncio.create_task(database.renew_idle())
    done, over, used = 0, asyncio.Event(), set()

    async def use() -> None:
        nonlocal done
        while not over.is_set():
            if order["kind"] == "postgresql":
                async with database.session() as session:
                    used.add(await session.scalar(text("SELECT session_user")))
            else:
                used.add(await client.execute_command("CLIENT", "ID"))
            done += 1
            await asyncio.sleep(0.01)

    users = [asyncio.create_task(use()) for _ in range(4)]
    try:
        rotation = rotation_in(Path(order["state"]), [])
        old = secret_of(order)
        for _ in range(2):
            await asyncio.to_thread(rotation.rotate, credential_of(order))
        over.set()
        await asyncio.gather(*users)  # What failed comes out here.
    finally:
        renewing.cancel()
        await client.aclose()
        await database.close()
    assert done > 50
    if order["kind"] == "postgresql":
        assert used == {"rotating", "rotating_2"}
    else:
        assert len(used) > 4
    assert not is_good(order, old)


@pytest.mark.parametrize("order", ["postgresql"], indirect=True)
def test_whoever_does_not_follow_is_named_and_keeps_working(order: dict[str, Any]) -> None:
    login = login_in(secret_of(order), order["username"])
    impatient = Rotation(
        Path(order["state"]), SystemClock(), lambda *_: None, drain_max=timedelta(seconds=1)
    )
    with psycopg.connect(
        order["url"],
        user=login.username,
        password=login.password,
        application_name="a stubborn one",
    ) as stubborn:
        with pytest.raises(RotationFailed, match="a stubborn one"):
            impatient.rotate(credential_of(order))
        assert stubborn.execute("SELECT 1").fetchone() == (1,)
    pending = impatient.pending("login")
    assert pending is not None
    assert pending.step == Step.DRAIN
    impatient.rotate(credential_of(order))
    assert secret_of(order) == pending.new


@pytest.mark.parametrize("order", ["postgresql"], indirect=True)
def test_who_began_to_connect_before_the_switch_is_waited_for(
    order: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    credential, old = credential_of(order), secret_of(order)
    login, users_of = login_in(old, order["username"]), type(credential).users_of
    answers: list[object] = []

    def late() -> None:
        with psycopg.connect(order["url"], user=login.username, password=login.password) as one:
            answers.append(one.execute("SELECT pg_sleep(0.7)").fetchone())

    coming = threading.Thread(target=late)

    def looked_at(self: Any, secret: str) -> list[str]:
        found: list[str] = users_of(self, secret)
        if not answers and coming.ident is None:
            coming.start()
        return found

    monkeypatch.setattr(type(credential), "users_of", looked_at)
    rotation_in(Path(order["state"]), []).rotate(credential)
    coming.join()
    assert len(answers) == 1, "it was cut off"
    assert not is_good(order, old)


@pytest.mark.parametrize("order", ["postgresql"], indirect=True)
def test_what_the_second_role_makes_belongs_to_the_first(order: dict[str, Any]) -> None:
    rotation = rotation_in(Path(order["state"]), [])
    for _ in range(2):
        rotation.rotate(credential_of(order))
        login = login_in(secret_of(order), order["username"])
        with psycopg.connect(
            order["url"], user=login.username, password=login.password
        ) as connection:
            connection.execute("CREATE TEMPORARY TABLE mine ()")
            owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'mine'")
            assert owner.fetchone() == ("rotating",)


def test_a_server_that_is_away_leaves_everything_as_it_was(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "secrets")
    write_private(folder / "login", "old")
    order = {
        "kind": "postgresql",
        "username": "r",
        "url": f"postgresql:///x?host={tmp_path}",
        "keeper": "k",
        "keeper_password": "hunter22",
        "secrets": str(folder),
    }
    with pytest.raises(RotationFailed) as refusal:
        rotation_in(tmp_path / "state", []).rotate(credential_of(order))
    assert "hunter22" not in str(refusal.value)
    assert (folder / "login").read_text() == "old"
