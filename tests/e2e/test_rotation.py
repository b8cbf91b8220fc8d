"""Goal: everything is replaced while the system is used, and no request fails.

Method: raw requests through the edge without pause and without a second try, by secrets as their
files have them, while `artstore rotate` replaces every credential that there is.
"""

import json
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.client import ArtStore
from artstore.core.metrics import SECRET_CHANGED
from artstore.core.tls import client_context
from artstore.local import postgres, valkey
from artstore.local.secret_files import ALL, DATABASE_ADMIN, VALKEY_READER
from artstore.rotation.procedure import Step

pytestmark = pytest.mark.stack

Token = dict[str, str]
CUT_MAX = 8
"""Of thousands: the edge reads its certificates again twice, and cuts each of four connections off
at most once by that; on a machine with nothing else to do, seldom any."""


@dataclass
class Users:
    stack: RunningStack
    stop: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    """Sent on a resting connection in the moment in which the edge closed it, reading its
    certificates again; every HTTP client sends such a request once more (RFC 9112, 9.3.1)."""

    @contextmanager
    def busy(self) -> Iterator[None]:
        works = (self._sign_in, self._store_and_read, self._search, self._ask_admin)
        threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _repeat(self, work: Callable[[httpx2.Client, Token], None]) -> None:
        context = ssl.create_default_context(cafile=self.stack.ca_file)
        with httpx2.Client(base_url=self.stack.edge_url, verify=context, timeout=60) as client:
            token = {"Authorization": f"Bearer {self._token(client)}"}
            while not self.stop.wait(0.02):
                try:
                    try:
                        work(client, token)
                    except httpx2.RemoteProtocolError as error:
                        self.cut.append(f"{work.__name__}: {error!r}")
                        work(client, token)
                    self.done[work.__name__] += 1
                except (httpx2.HTTPError, KeyError) as error:
                    self.failures.append(f"{work.__name__}: {error!r}")

    def check(self) -> None:
        assert self.failures == []
        assert len(self.done) == 4
        assert len(self.cut) <= CUT_MAX, self.cut

    def _token(self, client: httpx2.Client) -> str:
        answer = client.post(
            "/api/v1/auth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self.stack.client_id,
                "client_secret": self.stack.client_secret,
            },
        )
        answer.raise_for_status()
        token: str = answer.json()["access_token"]
        return token

    def _sign_in(self, client: httpx2.Client, token: Token) -> None:
        del token
        self._token(client)

    def _store_and_read(self, client: httpx2.Client, token: Token) -> None:
        kept = client.post("/api/v1/files?filename=r.txt", content=b"rotating", headers=token)
        kept.raise_for_status()
        path = f"/api/v1/files/{kept.json()['file_id']}/content"
        client.get(path, headers=token).raise_for_status()

    def _search(self, client: httpx2.Client, token: Token) -> None:
        client.get("/api/v1/search?q=rotating", headers=token).raise_for_status()

    def _ask_admin(self, client: httpx2.Client, token: Token) -> None:
        client.get("/api/v1/storage-elements", headers=token).raise_for_status()


def run(stack: RunningStack, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, "-m", program, *options, "--home", stack.home]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rotate(stack: RunningStack, *options: str) -> list[dict[str, str]]:
    done = run(stack, "artstore.cli", "rotate", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_everything_is_replaced_and_nobody_notices(stack: RunningStack, store: ArtStore) -> None:
    standing = rotate(stack, "--dry-run")
    before = {name: stack.layout.secrets.read(name) for name in ALL}
    serials = stack.layout.certificates.certificate("query-1")
    users = Users(stack)

    with users.busy():
        replaced = rotate(stack)

    users.check()
    assert [each["name"] for each in replaced] == [each["name"] for each in standing]
    assert {each["kind"] for each in replaced} == {
        *("account", "certificate", "encryption", "postgresql", "valkey"),
    }
    after = {name: stack.layout.secrets.read(name) for name in ALL}
    kept = {name for name in ALL if after[name] == before[name]}
    assert kept == {"admin-password"}
    assert stack.layout.certificates.certificate("query-1") != serials
    _old_ones_are_refused(stack, before)
    names = {each["name"] for each in replaced}
    wait_until(lambda: _audited(store) >= names, "all of it being in the audit log")


@pytest.mark.parametrize("name", ["cli-secret", "key-encryption-key", "certificates"])
def test_killed_at_every_step_it_goes_on_and_nobody_notices(stack: RunningStack, name: str) -> None:
    """One rotation, killed at each step in turn and begun again: what came before is done anew
    each time. Passwords of PostgreSQL and Valkey: `tests/integration/rotation`."""
    (standing,) = rotate(stack, "--dry-run", name)
    users = Users(stack)
    with users.busy():
        done = run(stack, "tests.support.dying_rotation", name)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:6] == list(Step)[1:]
    users.check()
    (after,) = rotate(stack, "--dry-run", name)
    assert after["stands_at"] is None
    assert after["changed_at"] > standing["changed_at"]


def _old_ones_are_refused(stack: RunningStack, before: dict[str, str]) -> None:
    old = before[DATABASE_ADMIN].rpartition("\n")
    role = old[0] or postgres.OWNER_ROLE
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(stack.layout.postgres.url(postgres.Login(role, old[2])))
    with (
        Redis.from_url(
            stack.layout.valkey.url,
            username=valkey.READER,
            password=before[VALKEY_READER],
            protocol=2,
        ) as client,
        pytest.raises(AuthenticationError),
    ):
        client.ping()


def _audited(store: ArtStore) -> set[str]:
    page = store.call(
        "GET", "/api/v1/audit/events", parameters={"kind": "secret.changed", "limit": "100"}
    )
    targets = [item["event"]["target"] for item in page["items"]]
    return {target["id"] for target in targets if target and target["type"] == "credential"}


def test_no_secret_is_in_a_command_line_an_environment_or_a_log(stack: RunningStack) -> None:
    names = [name for name in ALL if name != "admin-password"]
    values = [stack.layout.secrets.read(name).rpartition("\n")[2] for name in names]
    places = [path.read_bytes() for path in stack.layout.home.log.iterdir()]
    for process in stack.processes():
        folder = Path("/proc") / str(process.pid)
        places += [(folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()]

    assert [
        name
        for name, value in zip(names, values, strict=True)
        for place in places
        if value.encode() in place
    ] == []


def test_what_is_not_due_stays_and_its_age_is_a_metric(
    stack: RunningStack, http: httpx2.Client
) -> None:
    before = stack.layout.secrets.read(DATABASE_ADMIN)
    assert rotate(stack, "--due", "postgresql") == []
    assert "credentials not rotated" not in (stack.layout.home.log / "supervisor.log").read_text()
    assert stack.layout.secrets.read(DATABASE_ADMIN) == before
    context = client_context(stack.operator)
    with httpx2.Client(verify=context) as client:
        shown = client.get(f"{stack.url_of('admin-1')}/metrics").text
    assert f'{SECRET_CHANGED._name}{{secret="database-superuser"}}' in shown
