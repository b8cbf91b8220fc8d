"""Logins of PostgreSQL. A role has one password, so two roles take turns.

The first owns what there is; the second is a member of it and acts as it from its first statement
on. To everybody but the log-in they are the same.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import sql

from artstore.core.secrets.chain import Login, LoginSource
from artstore.rotation.procedure import RotationFailed
from artstore.rotation.store import SecretStore

SECRET_BYTES: Final = 32
LEADERS: Final = ("artstore-follower", "artstore-witness")
"""Connections that stand for ever. They begin anew by themselves, and no request waits for one."""


def login_in(secret: str, first_role: str) -> Login:
    """One line is a password of the first role, two are a role and its password."""
    role, _, password = secret.rpartition("\n")
    return Login(role.strip() or first_role, password)


@dataclass
class PostgresLogin:
    name: str
    roles: tuple[str, str]
    url: str
    """Of the database it is for, without user and password."""
    keeper: LoginSource
    """Somebody who may change roles and end sessions."""
    store: SecretStore
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of its sessions."""
    kind: str = "postgresql"

    def current(self) -> str:
        return self.store.read(self.name)

    def changed_at(self) -> datetime:
        return self.store.changed_at(self.name)

    def make(self, old: str) -> str:
        first, second = self.roles
        role = second if login_in(old, first).username == first else first
        return f"{role}\n{secrets.token_urlsafe(SECRET_BYTES)}"

    def create(self, new: str) -> None:
        with self._as_keeper() as connection:
            make_login(connection, login_in(new, self.roles[0]), self.roles[0], self.settings)

    def verify(self, new: str) -> None:
        login = login_in(new, self.roles[0])
        with self._connected(login) as connection:
            row = connection.execute("SELECT current_user").fetchone()
        if row != (self.roles[0],):
            raise RotationFailed(f"{self.name}: {login.username} does not act as {self.roles[0]}")

    def switch(self, new: str) -> None:
        self.store.write(self.name, new)

    def users_of(self, old: str) -> list[str]:
        role = login_in(old, self.roles[0]).username
        with self._as_keeper() as connection:
            connection.execute(_END + " AND application_name = ANY(%s)", (role, list(LEADERS)))
            rows = connection.execute(_USERS, (role,)).fetchall()
        return [name or "a nameless program" for (name,) in rows]

    def revoke(self, old: str, new: str) -> None:
        former = login_in(old, self.roles[0]).username
        assert former
        assert former != login_in(new, self.roles[0]).username
        statement = sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(former))
        with self._as_keeper() as connection:
            connection.execute(statement)
            connection.execute(_END, (former,))

    @contextmanager
    def _as_keeper(self) -> Iterator[psycopg.Connection[Any]]:
        with self._connected(self.keeper()) as connection:
            yield connection

    @contextmanager
    def _connected(self, login: Login) -> Iterator[psycopg.Connection[Any]]:
        try:
            with psycopg.connect(
                self.url,
                user=login.username,
                password=login.password,
                connect_timeout=10,
                application_name="artstore-rotation",
            ) as connection:
                yield connection
        except psycopg.Error as error:
            # The first line: what follows may quote the statement.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RotationFailed(f"{self.name}: PostgreSQL refuses: {reason}") from None


_SESSIONS: Final = (
    "FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)
_END: Final = f"SELECT pg_terminate_backend(pid) {_SESSIONS}"
_USERS: Final = f"SELECT DISTINCT application_name {_SESSIONS} ORDER BY 1"


def make_login(
    connection: psycopg.Connection[Any],
    login: Login,
    first_role: str,
    settings: Mapping[str, str],
) -> None:
    """The role of `login` can log in, with this password, and acts as `first_role`. May be
    repeated."""
    assert login.username
    role = sql.Identifier(login.username)
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (login.username,))
    if known.fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    # Hashed here, so that the password itself never reaches a server log.
    scrambled = connection.pgconn.encrypt_password(
        login.password.encode(), login.username.encode(), b"scram-sha-256"
    )
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(scrambled.decode()))
    )
    if login.username != first_role:
        first = sql.Identifier(first_role)
        powers = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = %s", (first_role,)
        ).fetchone()
        if powers == (True,):
            # The one power that members do not inherit.
            connection.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(role))
        connection.execute(sql.SQL("GRANT {} TO {}").format(first, role))
        connection.execute(
            sql.SQL("ALTER ROLE {} SET role = {}").format(role, sql.Literal(first_role))
        )
    for setting, value in settings.items():
        connection.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(
                role, sql.Identifier(setting), sql.Literal(value)
            )
        )
