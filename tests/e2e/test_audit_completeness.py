"""Goal: every change has exactly one event in the audit log, and every event its change.

Method: change files, accounts and keys and read files without pause while each process dies and
dependencies go away; then compare the elements' own feeds, the tables of accounts and keys and
what clients were told with an export of the log that was verified.
"""

import os
import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
import psutil
import psycopg
import pytest
from tests.e2e.test_survival import kill_and_wait
from tests.support.auditor import Auditor, Event
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.core.tls import client_context

pytestmark = pytest.mark.stack

SOME_VICTIMS = ["admin-1", "postgres", "query-1", "edit-1"]
VICTIMS = [*SOME_VICTIMS, "ingester-1", "rw-1", "valkey", "edge", "admin-1", "postgres"]
ROUNDS = int(os.environ.get("ARTSTORE_AUDIT_ROUNDS", "0"))
"""Of all of them; without any, some die once."""
FEED_LINES = 1000
KIND_OF_LINE = {
    "created": {"file.uploaded"},
    "updated": {"file.changed", "file.hold_placed", "file.hold_released", "file.retention_changed"},
    "deleted": {"file.deleted"},
    "finding": {"file.damage_found", "file.repaired", "file.quarantine_cleared"},
    "mode_changed": {"element.mode_changed"},
}
OUTAGE_STATUSES = {502, 503}


@dataclass
class Traffic:
    """Requests of all kinds, and what their clients know of them."""

    http: httpx2.Client
    stranger: httpx2.Client
    """Without a token."""
    client: dict[str, str]
    stop: threading.Event = field(default_factory=threading.Event)
    answered: Counter[str] = field(default_factory=Counter)
    downloads: set[str] = field(default_factory=set)
    """Correlation ids of reads whose bytes came."""
    deletions: dict[str, str] = field(default_factory=dict)
    """File ids by correlation id, of those that were answered with success."""
    accounts: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)

    def run(self, worker: int) -> None:
        chance = random.Random(worker)
        files: list[str] = []
        deeds: list[Callable[[list[str], random.Random], None]] = [
            self.upload, self.upload, self.read, self.change, self.delete, self.account, self.token,
        ]  # fmt: skip
        while not self.stop.is_set():
            try:
                chance.choice(deeds)(files, chance)
            except httpx2.HTTPError:
                self.stop.wait(0.05)

    def ask(self, what: str, method: str, path: str, **options: Any) -> httpx2.Response | None:
        answer = self.http.request(method, f"/api/v1{path}", **options)
        if answer.status_code in OUTAGE_STATUSES:
            self.stop.wait(0.05)
            return None
        assert answer.status_code < 500, answer.text
        self.answered[f"{what} {answer.status_code}"] += 1
        return answer if answer.status_code < 300 else None

    def upload(self, files: list[str], chance: random.Random) -> None:
        params = {"filename": f"{chance.random()}.bin", "collection": "completeness"}
        content = chance.randbytes(chance.choice((0, 500, 100_000)))
        if answer := self.ask("upload", "POST", "/files", params=params, content=content):
            files.append(answer.json()["file_id"])

    def read(self, files: list[str], chance: random.Random) -> None:
        if files and (answer := self.ask("read", "GET", f"/files/{chance.choice(files)}/content")):
            self.downloads.add(answer.headers["x-correlation-id"])

    def change(self, files: list[str], chance: random.Random) -> None:
        if files:
            body = {"tags": [f"t{chance.randrange(100)}"]}
            self.ask("change", "PATCH", f"/files/{chance.choice(files)}", json=body)

    def delete(self, files: list[str], chance: random.Random) -> None:
        if len(files) > 3:
            file_id = files.pop(chance.randrange(len(files)))
            if answer := self.ask("delete", "DELETE", f"/files/{file_id}"):
                self.deletions[answer.headers["x-correlation-id"]] = file_id

    def account(self, _: list[str], chance: random.Random) -> None:
        name = f"acc-{secrets.token_hex(6)}"
        body = {"client_id": name, "role": chance.choice(("user", "readonly"))}
        if self.ask("account", "POST", "/service-accounts", json=body):
            self.accounts.add(name)

    def token(self, _: list[str], __: random.Random) -> None:
        data = {"grant_type": "client_credentials", **self.client}
        answer = self.stranger.post("/api/v1/auth/token", data=data)
        if answer.status_code == 200:
            self.tokens.add(answer.headers["x-correlation-id"])


@pytest.fixture(scope="module")
def traffic(stack: RunningStack, http: httpx2.Client, stranger: httpx2.Client) -> Traffic:
    """After the outages, with everything at rest."""
    credentials = {"client_id": stack.client_id, "client_secret": stack.client_secret}
    made = Traffic(http, stranger, credentials)
    chance = random.Random(7)
    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(made.run, worker) for worker in range(4)]
        try:
            for name in VICTIMS * ROUNDS or SOME_VICTIMS:
                before = made.answered.total()
                kill_and_wait(stack, name)
                wait_until(
                    lambda before=before: made.answered.total() > before + 20,
                    f"traffic going on after the death of {name}",
                )
                made.stop.wait(chance.uniform(0, 0.5))
            _suspend(stack, "admin-1", 3)
        finally:
            made.stop.set()
        for worker in workers:
            worker.result()
    stack.wait_ready()
    return made


def _suspend(stack: RunningStack, name: str, seconds: float) -> None:
    """It hangs: reads go on without it, and are told later."""
    process = psutil.Process(stack.process(name).pid)
    process.suspend()
    threading.Event().wait(seconds)
    process.resume()


@pytest.fixture(scope="module")
def log(stack: RunningStack, http: httpx2.Client, traffic: Traffic) -> list[Event]:
    """The events of a verified export, when nothing waits any more."""
    auditor = Auditor(http)
    lines = sum(len(feed) for feed in feeds(stack).values())

    def nothing_waits() -> bool:
        with psycopg.connect(stack.superuser_url) as connection:
            return connection.execute("SELECT FROM audit.outbox LIMIT 1").fetchone() is None

    def all_told() -> bool:
        told = [event for event in auditor.verified_export()[1] if "feed_id" in event["details"]]
        recorded = auditor.events(kind="file.downloaded")
        ids = {item["event"]["correlation_id"] for item in recorded}
        return len(told) >= lines and traffic.downloads <= ids and nothing_waits()

    wait_until(all_told, "everything reaching the log", 90)
    with psycopg.connect(stack.superuser_url) as connection:
        size = connection.execute("SELECT size FROM audit.log").fetchone()
    assert size is not None
    # An export ends with what a witness has confirmed, some seconds behind.
    exported: list[Event] = []

    def all_confirmed() -> bool:
        exported[:] = auditor.verified_export()[1]
        return len(exported) >= size[0]

    wait_until(all_confirmed, "the witness confirming it", 90)
    return exported


def feeds(stack: RunningStack) -> dict[str, list[dict[str, Any]]]:
    """What each element tells of its own history, by its feed."""
    found: dict[str, list[dict[str, Any]]] = {}
    context = client_context(stack.layout.certificates.files("admin-1"))
    for name in ("edit-1", "rw-1"):
        with httpx2.Client(base_url=stack.url_of(name), verify=context, timeout=30) as client:
            after, lines = 0, []
            while True:
                params = {"after": after, "limit": FEED_LINES, "wait": 0}
                answer = client.get("/api/v1/changes", params=params)
                answer.raise_for_status()
                page = [orjson.loads(line) for line in answer.content.splitlines()]
                lines += page
                if not page:
                    break
                after = page[-1]["seq"]
            found[answer.headers["x-artstore-feed-id"]] = lines
    return found


def test_each_change_of_an_element_is_one_event_and_the_other_way_round(
    stack: RunningStack, log: list[Event], traffic: Traffic
) -> None:
    by_feed = feeds(stack)
    told = {(feed_id, line["seq"]): line for feed_id, lines in by_feed.items() for line in lines}
    # Elements of other tests are gone and cannot be asked.
    changes = [
        event
        for event in log
        if "seq" in event["details"] and event["details"]["feed_id"] in by_feed
    ]
    logged = Counter((event["details"]["feed_id"], event["details"]["seq"]) for event in changes)
    assert set(logged) == set(told)
    assert max(logged.values()) == 1

    for event in changes:
        line = told[event["details"]["feed_id"], event["details"]["seq"]]
        assert event["kind"] in KIND_OF_LINE[line["type"]]
        if "record" in line:
            assert event["file_id"] == line["record"]["file_id"]
            assert event["details"]["revision"] == line["record"]["revision"]
    assert traffic.answered["upload 201"] > 20
    assert traffic.answered["change 200"] > 5


def test_who_deleted_a_file_is_known(log: list[Event], traffic: Traffic) -> None:
    deleted = {
        event["correlation_id"]: event
        for event in log
        if event["kind"] == "file.deleted" and event["outcome"] == "succeeded"
    }
    assert traffic.deletions
    for correlation_id, file_id in traffic.deletions.items():
        # Deleted before, by a request that got no answer, it is not deleted once more.
        event = deleted.get(correlation_id) or next(
            event for event in deleted.values() if event["file_id"] == file_id
        )
        assert event["file_id"] == file_id
    assert all(event["actor"]["account"] for event in deleted.values())


def test_each_account_has_one_event_of_its_making(
    stack: RunningStack, log: list[Event], traffic: Traffic
) -> None:
    with psycopg.connect(stack.superuser_url) as connection:
        rows = connection.execute("SELECT client_id FROM identity.service_accounts").fetchall()
        keys = connection.execute("SELECT kid FROM identity.signing_keys").fetchall()
        receipt_keys = connection.execute("SELECT kid FROM audit.receipt_keys").fetchall()
    made = [event for event in log if event["kind"] == "account.created"]
    names = Counter(
        event["details"]["client_id"] for event in made if "client_id" in event["details"]
    )
    assert names == Counter(row[0] for row in rows)
    assert traffic.accounts <= set(names)

    key_events = Counter(
        (event["target"]["type"], event["target"]["id"])
        for event in log
        if event["kind"] == "key.created" and event["target"] is not None
    )
    assert key_events == Counter(
        (kind, row[0])
        for kind, rows in (("token_key", keys), ("receipt_key", receipt_keys))
        for row in rows
    )


def test_each_token_and_each_download_has_its_event(log: list[Event], traffic: Traffic) -> None:
    by_kind: dict[str, Counter[str]] = {}
    for event in log:
        by_kind.setdefault(event["kind"], Counter())[event["correlation_id"]] += 1

    assert traffic.tokens
    assert traffic.tokens <= set(by_kind["authentication.token_issued"])
    assert max(by_kind["authentication.token_issued"].values()) == 1
    assert traffic.downloads
    assert traffic.downloads <= set(by_kind["file.downloaded"])
    assert max(by_kind["file.downloaded"].values()) == 1


def test_every_event_is_there_once(log: list[Event]) -> None:
    assert max(Counter(event["event_id"] for event in log).values()) == 1


def test_a_refusal_in_each_module_is_logged(
    stack: RunningStack,
    http: httpx2.Client,
    stranger: httpx2.Client,
    make_token: Callable[[str], str],
) -> None:
    headers = {"Authorization": f"Bearer {make_token('auditor')}"}
    refused = [
        stranger.post("/api/v1/files?filename=x", headers=headers, content=b"x"),
        stranger.delete("/api/v1/files/01a204ea-028c-75c8-a93c-59d9606ef0c7", headers=headers),
    ]
    with httpx2.Client(
        base_url=stack.url_of("rw-1"), verify=client_context(stack.operator), timeout=30
    ) as operator:
        refused.append(operator.get("/api/v1/changes?after=0&limit=1&wait=0"))
    assert {answer.status_code for answer in refused} == {403}

    auditor = Auditor(http)
    for service in ("ingester/ingester-1", "admin/admin-1", "storage/rw-1"):
        auditor.wait_for_some(
            lambda item, service=service: item["event"]["actor"]["services"][-1:] == [service],
            kind="authorization.refused",
        )


def test_each_service_has_said_with_which_settings_it_first_started(http: httpx2.Client) -> None:
    auditor = Auditor(http)
    services = {"admin/admin-1", "ingester/ingester-1", "query/query-1", "storage/rw-1"}

    def first_starts() -> set[str]:
        found = auditor.events(kind="configuration.changed")
        return {
            item["event"]["target"]["id"]
            for item in found
            if item["event"]["details"]["first_start"]
        }

    wait_until(lambda: services <= first_starts(), "the settings of each service")
