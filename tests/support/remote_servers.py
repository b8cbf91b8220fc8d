"""PostgreSQL and Redis as on another machine: TCP, TLS, client certificates.

The servers in the wheels are built without TLS, so these are Debian's. Redis speaks the protocol
of Valkey, and Debian's is built with TLS; Valkey's own package comes with the next release.
"""

import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.support.module_process import free_port, listens
from tests.support.pki import Pki
from tests.support.processes import running, short_folder

from artstore.core.private_files import write_private
from artstore.local.account import OURSELVES, Account, choose_account, launched

ROLE = "artstore_admin"
PASSWORD = secrets.token_urlsafe(24)
HBA = f"""\
local all postgres trust
hostssl all {ROLE} 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
"""


def debian_postgres() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    if not found:
        pytest.skip("needs Debian's package postgresql")
    return found[-1]


def redis_server() -> str:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("needs Debian's package redis-server")
    return program


@contextmanager
def remote_postgres(pki: Pki) -> Iterator[int]:
    """Its port. `ROLE` needs a certificate and `PASSWORD`, and TLS in any case."""
    programs = debian_postgres()
    with short_folder() as folder:
        account = choose_account(programs / "postgres", folder)
        if account.owner is not None:
            account.open_way_to([folder])
        data, port = folder / "data", free_port()
        _make_cluster(programs, data, account)
        files = pki.named("admin", "db-1", "localhost")
        for name, source in (("server.crt", files.certificate), ("server.key", files.key)):
            _copy(source, data / name, account)
        _copy(files.ca, data / "ca.crt", account)
        write_private(data / "pg_hba.conf", HBA)
        account.own(data / "pg_hba.conf")
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": data,
            "ssl": "on",
            "ssl_min_protocol_version": "TLSv1.3",
            "ssl_cert_file": "server.crt",
            "ssl_key_file": "server.key",
            "ssl_ca_file": "ca.crt",
            "password_encryption": "scram-sha-256",
            "fsync": "off",
        }
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = launched(
            [programs / "postgres", "-D", data, *given],
            parent_death=signal.SIGINT,
            account=account,
        )
        ready = lambda _: _is_ready(data)  # noqa: E731
        with running(command, ready, folder / "log", signal.SIGINT):
            _make_role(data, port)
            yield port


@contextmanager
def remote_redis(pki: Pki) -> Iterator[int]:
    """Its port: TLS 1.3 from both sides, one account with `PASSWORD`."""
    files, port = pki.named("admin", "valkey-1", "localhost"), free_port()
    with short_folder() as folder:
        acl = folder / "users.acl"
        acl.write_text(f"user default off\nuser {ROLE} on >{PASSWORD} ~* &* +@all\n")
        settings = {
            "port": 0,
            "tls-port": port,
            "bind": "127.0.0.1",
            "tls-protocols": "TLSv1.3",
            "tls-cert-file": files.certificate,
            "tls-key-file": files.key,
            "tls-ca-cert-file": files.ca,
            "tls-auth-clients": "yes",
            "aclfile": acl,
            "dir": folder,
            "save": '""',
        }
        configuration = folder / "redis.conf"
        configuration.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        command = [redis_server(), str(configuration)]
        with running(command, lambda _: listens(port), folder / "log"):
            yield port


def _make_cluster(programs: Path, data: Path, account: Account) -> None:
    data.mkdir(mode=0o700)
    account.own(data)
    initdb: list[str | Path] = [programs / "initdb", "-D", data, "-U", "postgres", "--no-sync"]
    command = launched(
        [*initdb, "--auth=trust", "--encoding=UTF8", "--locale=C"],
        parent_death=signal.SIGKILL,
        account=account,
    )
    subprocess.run(command, check=True, capture_output=True, cwd="/")


def _is_ready(data: Path) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def _make_role(data: Path, port: int) -> None:
    with psycopg.connect(
        f"postgresql://postgres@/postgres?host={data}&port={port}", autocommit=True
    ) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]


def _copy(source: Path, target: Path, account: Account) -> None:
    write_private(target, source.read_bytes())
    if account is not OURSELVES:
        account.own(target)
