"""Goal: uploads go on while admin, PostgreSQL or Valkey is away, and nothing of it is lost.

Method: a steady load of every kind of upload, each sent once. The servers hang, or are killed as
often as they are started again. No upload may fail. Afterwards the catalogue and the audit log know
each file that was acknowledged, once, and no other.

All three may be away together for a moment only: who cannot hear of revocations refuses after a
minute (`tests/security/identity/test_revocation_matrix.py`). For longer it is one at a time.
"""

import itertools
import os
import signal
import ssl
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psutil
import pytest
from tests.support.auditor import Auditor
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.client import ArtStore
from artstore.local.supervisor import read_status

pytestmark = pytest.mark.stack

SERVERS = ("admin-1", "postgres", "valkey")
HANGING_S = 6.0
"""Longer than it takes the ingester to ask again for everything that it keeps a copy of."""
DEAD_S = 1.0
MINUTE_S = 60.0
UPLOADERS = 3
PAUSE_S = 0.1
LARGE_BYTES = 1 << 20
CAUGHT_UP_S = 120.0


@dataclass
class SteadyLoad:
    """Uploads of every kind, without pause and without a second try."""

    client: httpx2.Client
    """Without a token of its own."""
    tokens: Iterator[str]
    collection: str
    stop: threading.Event = field(default_factory=threading.Event)
    stored: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def run(self, worker: int) -> None:
        kinds = itertools.cycle((self.small, self.form, self.kept, self.large, self.in_parts))
        for number in itertools.count():
            if self.stop.wait(PAUSE_S):
                return
            kind = next(kinds)
            # One after the other: some were never seen by any server when the outage began.
            headers = {"Authorization": f"Bearer {next(self.tokens)}"}
            try:
                self.stored.add(kind(f"{worker}-{number}", headers))
            except (httpx2.HTTPError, AssertionError) as failure:
                self.failed.append(f"{kind.__name__}: {failure!r}")
            self.kinds[kind.__name__] += 1

    def small(self, name: str, headers: dict[str, str], **more: str) -> str:
        return self._post(name, headers, more, content=os.urandom(3000))

    def kept(self, name: str, headers: dict[str, str]) -> str:
        return self.small(name, headers, retention="P1D")

    def large(self, name: str, headers: dict[str, str]) -> str:
        return self._post(name, headers, {}, content=os.urandom(LARGE_BYTES))

    def form(self, name: str, headers: dict[str, str]) -> str:
        return self._post(name, headers, {}, files={"file": (name, os.urandom(500))})

    def in_parts(self, name: str, headers: dict[str, str]) -> str:
        content = os.urandom(LARGE_BYTES)
        told = {"filename": name, "collection": self.collection}
        pairs = ",".join(
            f"{key} {b64encode(value.encode()).decode()}" for key, value in told.items()
        )
        headers = {**headers, "Tus-Resumable": "1.0.0"}
        begin = {"Upload-Length": str(len(content)), "Upload-Metadata": pairs}
        answer = self.client.post("/api/v1/uploads", headers={**headers, **begin})
        assert answer.status_code == 201, answer.text
        location, half = answer.headers["location"], len(content) // 2
        headers["Content-Type"] = "application/offset+octet-stream"
        for offset, part in ((0, content[:half]), (half, content[half:])):
            headers["Upload-Offset"] = str(offset)
            answer = self.client.patch(location, headers=headers, content=part)
            assert answer.status_code == 204, answer.text
        return answer.headers["content-location"].rpartition("/")[2]

    def _post(self, name: str, headers: dict[str, str], more: dict[str, str], **body: Any) -> str:
        params = {"filename": name, "collection": self.collection, **more}
        answer = self.client.post("/api/v1/files", params=params, headers=headers, **body)
        assert answer.status_code == 201, answer.text
        file_id: str = answer.json()["file_id"]
        return file_id


@contextmanager
def dead(stack: RunningStack, names: Sequence[str]) -> Iterator[None]:
    """Whatever the supervisor starts under these names is killed, until the end of the block."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.01):
            for entry in read_status(stack.stack.home.status_file):
                if entry.name in names and entry.pid is not None:
                    with suppress(ProcessLookupError):
                        os.killpg(entry.pid, signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        try:
            yield
        finally:
            over.set()
        killing.result()


@contextmanager
def hanging(stack: RunningStack, names: Sequence[str]) -> Iterator[None]:
    """They take connections and answer nothing."""
    roots = [psutil.Process(stack.process(name).pid) for name in names]
    suspended = [process for root in roots for process in (root, *root.children(recursive=True))]
    for process in suspended:
        process.suspend()
    try:
        yield
    finally:
        for process in suspended:
            process.resume()


Outage = Callable[[RunningStack, Sequence[str]], AbstractContextManager[None]]


@dataclass(frozen=True)
class World:
    stack: RunningStack
    store: ArtStore
    auditor: Auditor
    tokens: Sequence[str]


@pytest.fixture(scope="module")
def world(
    stack: RunningStack, store: ArtStore, http: httpx2.Client, make_token: Callable[[str], str]
) -> World:
    tokens = [make_token("user") for _ in range(10)]
    return World(stack, store, Auditor(http), tokens)


@contextmanager
def loaded(world: World, collection: str) -> Iterator[SteadyLoad]:
    context = ssl.create_default_context(cafile=world.stack.ca_file)
    with (
        httpx2.Client(base_url=world.stack.edge_url, verify=context, timeout=60) as client,
        ThreadPoolExecutor(UPLOADERS) as pool,
    ):
        load = SteadyLoad(client, itertools.cycle(world.tokens), collection)
        workers = [pool.submit(load.run, worker) for worker in range(UPLOADERS)]
        try:
            yield load
        finally:
            load.stop.set()
        for worker in workers:
            worker.result()


def endure(
    stack: RunningStack, load: SteadyLoad, names: Sequence[str], outage: Outage, seconds: float
) -> None:
    more(load, "uploads beginning")
    with outage(stack, names):
        load.stop.wait(seconds)
        more(load, f"uploads going on while {names} are {outage.__name__}")
    for name in names:
        stack.wait_ready(name)
    more(load, f"uploads going on after {names} came back")


def more(load: SteadyLoad, what: str) -> None:
    before = len(load.stored)
    wait_until(lambda: len(load.stored) >= before + 10 or bool(load.failed), what)


def check_complete(world: World, load: SteadyLoad) -> None:
    assert load.failed == []
    assert len(load.kinds) == 5
    expected = Counter(load.stored)

    def listed() -> Counter[str]:
        return Counter(file.file_id for file in world.store.files(collection=load.collection))

    def told() -> Counter[str]:
        events = world.auditor.events(kind="file.uploaded", collection=load.collection)
        return Counter(item["event"]["file_id"] for item in events)

    wait_until(lambda: listed() >= expected, "the catalogue catching up", CAUGHT_UP_S)
    wait_until(lambda: told() >= expected, "the audit log catching up", CAUGHT_UP_S)
    assert listed() == expected
    assert told() == expected


def test_uploads_go_on_without_all_of_them(world: World) -> None:
    with loaded(world, "outage") as load:
        endure(world.stack, load, SERVERS, hanging, HANGING_S)
        endure(world.stack, load, SERVERS, dead, DEAD_S)
    check_complete(world, load)


@pytest.mark.slow
@pytest.mark.parametrize("outage", [dead, hanging])
@pytest.mark.parametrize("name", SERVERS)
def test_uploads_go_on_for_a_minute(world: World, name: str, outage: Outage) -> None:
    collection = f"outage-{name}-{outage.__name__}"
    with loaded(world, collection) as load:
        endure(world.stack, load, [name], outage, MINUTE_S)
    check_complete(world, load)
