"""Everybody who may knock at a door of the running system, and something behind each door.

Callers: each role of people and of service accounts, once with all rights of the role and once
held to the collection `own`; nobody; and somebody halfway through signing in. Behind the doors: a
file in the collection `own` and one in `foreign`, kept by their retention, so that asking to
delete them is harmless.
"""

import contextlib
import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import httpx2
from tests.support.people import AUTH, PASSWORD, Person
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.core.model.account import AccountRole, Right, UserRole
from artstore.core.tls import client_context

INSTANCES = {"admin": "admin-1", "ingester": "ingester-1", "query": "query-1", "storage": "edit-1"}
EDGE = "edge-1"
NOBODY = "nobody"
HALFWAY = "halfway"
HELD = " held"
UNKNOWN_ID = str(UUID(int=0))


@dataclass
class StackAdmin:
    """Stands where `tests.support.admin.Admin` does, for `Person`."""

    stack: RunningStack

    @contextlib.contextmanager
    def client(self, certificate: str = EDGE, **headers: str) -> Iterator[httpx2.Client]:
        address = str(ip_address(secrets.randbits(32)))
        with door(
            self.stack, "admin", certificate, **{"X-Forwarded-For": address} | headers
        ) as client:
            yield client

    @contextlib.contextmanager
    def as_account(self) -> Iterator[httpx2.Client]:
        token = account_token(self, self.stack.client_id, self.stack.client_secret)
        with self.client(Authorization=f"Bearer {token}") as client:
            yield client


def an_address() -> str:
    """That nobody had before: what one test has refused slows down no other."""
    return str(ip_address(secrets.randbits(32)))


@contextlib.contextmanager
def door(
    stack: RunningStack, module: str, certificate: str | None, **headers: str
) -> Iterator[httpx2.Client]:
    """A module's own port, with the certificate of an instance or with none."""
    if certificate is None:
        context = ssl.create_default_context(cafile=stack.ca_file)
    else:
        context = client_context(stack.layout.certificates.files(certificate))
    with httpx2.Client(
        base_url=stack.url_of(INSTANCES[module]), verify=context, headers=headers, timeout=60
    ) as client:
        yield client


def account_token(admin: Any, client_id: str, secret: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    with admin.client() as client:
        answer = client.post("/api/v1/auth/token", data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


@dataclass
class AccessWorld:
    stack: RunningStack
    own: str = field(default_factory=lambda: f"own-{secrets.token_hex(4)}")
    foreign: str = field(default_factory=lambda: f"foreign-{secrets.token_hex(4)}")
    tokens: dict[str, str | None] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    subject: str = ""
    """Of an account that grants are tried on."""

    def __post_init__(self) -> None:
        self.admin = StackAdmin(self.stack)

    def set_up(self) -> None:
        with self.admin.as_account() as client:
            for name in (self.own, self.foreign):
                made = client.post("/api/v1/collections", json={"collection": name})
                assert made.status_code == 201, made.text
                self.files[name] = self._file(client, name)
            self.subject = f"account:{self._account(client, AccountRole.USER)['account_id']}"
            self._hold(client, self.subject)
            self.tokens[NOBODY] = None
            for role in AccountRole:
                self._know_account(client, role)
        for user_role in UserRole:
            self._know_person(user_role, "")
        # What a grant holds back is the same for people: one stands for all.
        self._know_person(UserRole.ADMIN, HELD)
        self.tokens[HALFWAY] = self._halfway()
        self._wait_for_files()

    def _know_account(self, client: httpx2.Client, role: AccountRole) -> None:
        for suffix in ("", HELD):
            made = self._account(client, role)
            if suffix:
                self._hold(client, f"account:{made['account_id']}")
            token = account_token(self.admin, made["client_id"], made["client_secret"])
            self.tokens[f"account.{role}{suffix}"] = token

    def _know_person(self, role: UserRole, suffix: str) -> None:
        person = Person.new(self.admin, role)  # type: ignore[arg-type]
        if suffix:
            with self.admin.as_account() as client:
                self._hold(client, f"user:{person.user_id}")
        self.tokens[f"person.{role}{suffix}"] = _set_up(person)["access_token"]

    def _halfway(self) -> str:
        person = Person.new(self.admin, "super_admin")  # type: ignore[arg-type]
        _set_up(person)
        body = {"username": person.username, "password": PASSWORD}
        with self.admin.client() as client:
            answer = client.post(f"{AUTH}/login", json=body)
        assert answer.json()["scope"] == "second-factor:prove"
        return str(answer.json()["access_token"])

    def _account(self, client: httpx2.Client, role: AccountRole) -> dict[str, Any]:
        body = {"client_id": f"table-{secrets.token_hex(4)}", "role": role}
        made = client.post("/api/v1/service-accounts", json=body)
        assert made.status_code == 201, made.text
        return dict(made.json())

    def _hold(self, client: httpx2.Client, subject: str) -> None:
        body = {"rights": [right.value for right in Right]}
        put = client.put(f"/api/v1/grants/{subject}/{self.own}", json=body)
        assert put.status_code == 200, put.text

    def _file(self, client: httpx2.Client, collection: str) -> str:
        token = client.headers["authorization"]
        parameters = {"filename": "x.txt", "collection": collection, "retention": "P1D"}
        with door(self.stack, "ingester", EDGE, Authorization=token) as ingester:
            stored = ingester.post("/api/v1/files", params=parameters, content=b"kept")
        assert stored.status_code == 201, stored.text
        return str(stored.json()["file_id"])

    def _wait_for_files(self) -> None:
        token = self.tokens["account.admin"]
        with door(self.stack, "query", EDGE, Authorization=f"Bearer {token}") as query:
            for name in (self.own, self.foreign):
                listed = {"collection": name}
                wait_until(
                    lambda listed=listed: query.get("/api/v1/files", params=listed).json()["items"],  # type: ignore[misc]
                    "the catalogue",
                )


def _set_up(person: Person) -> dict[str, Any]:
    """With the code of this half minute: an older one may end on the way, on a busy machine."""
    person.used_step = int(time.time()) // 30 - 1
    return person.set_up()
