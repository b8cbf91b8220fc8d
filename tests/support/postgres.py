"""A throw-away real PostgreSQL.

Fixtures, one server per session:

* `postgres`: URL of the superuser (`postgresql://...`, for psycopg and SQLAlchemy alike);
* `make_database`: `make_database("name")` gives a `TestDatabase`, provisioned exactly as
  `artstore up` provisions its own: roles, extensions, rights, and no tables.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.processes import running, short_folder

from artstore.core.private_files import private_folder, write_private
from artstore.local import postgres as local
from artstore.local import programs
from artstore.local.account import choose_account


@dataclass(frozen=True)
class TestDatabase:
    """One database. URLs without password are what settings hold."""

    __test__ = False

    name: str
    url: str
    """Owner `artstore_admin`, with password; `postgresql://`, for psycopg and SQLAlchemy."""
    admin_url: str
    """Owner without password, `postgresql+psycopg://`: ARTSTORE_DATABASE_URL of admin."""
    admin_password: str
    admin_password_file: Path
    query_url: str
    """Role `artstore_query` without password: ARTSTORE_DATABASE_URL of query."""
    query_password: str
    query_password_file: Path


@dataclass(frozen=True)
class TestServer:
    __test__ = False

    server: local.Postgres
    superuser: local.Login
    owner: local.Login
    query: local.Login
    secrets: Path

    def database(self, name: str) -> TestDatabase:
        local.provision(self.server, self.superuser, self.owner, self.query, name)
        return TestDatabase(
            name=name,
            url=self.server.url(self.owner, name),
            admin_url=self.server.url_without_password(self.owner.role, name),
            admin_password=self.owner.password,
            admin_password_file=self.secrets / self.owner.role,
            query_url=self.server.url_without_password(self.query.role, name),
            query_password=self.query.password,
            query_password_file=self.secrets / self.query.role,
        )


@contextmanager
def prepared_server() -> Iterator[TestServer]:
    """Made, and not running yet."""
    with short_folder() as folder:
        folders = programs.postgres_folder()
        account = choose_account(folders / "postgres", folder / "data")
        sockets = private_folder(folder / "s")
        account.own(sockets)
        account.open_way_to([folder])
        server = local.Postgres(folders, folder / "data", sockets, account)
        logins = [_login(role) for role in (local.SUPERUSER, local.OWNER_ROLE, local.QUERY_ROLE)]
        passwords = private_folder(folder / "secrets")
        for login in logins:
            write_private(passwords / login.role, login.password)
        server.initialise(logins[0].password)
        yield TestServer(server, *logins, passwords)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[TestServer]:
    with prepared_server() as made:
        log = made.server.data.parent / "log"
        with running(made.server.command(), made.server.is_ready, log, local.STOP):
            yield made


@pytest.fixture(scope="session")
def postgres(postgres_server: TestServer) -> str:
    return postgres_server.server.url(postgres_server.superuser, "postgres")


@pytest.fixture(scope="session")
def make_database(postgres_server: TestServer) -> Callable[[str], TestDatabase]:
    return postgres_server.database


def _login(role: str) -> local.Login:
    return local.Login(role, secrets.token_urlsafe(32))
