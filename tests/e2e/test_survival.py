"""Goal: no acknowledged file is ever lost, whatever dies.

Method: upload without pause, kill -9 one process after the other, wait until it is back,
then ask for every file that was acknowledged.
"""

import hashlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2
import psutil
import pytest
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.client import ArtStore

pytestmark = pytest.mark.stack

PROCESSES = [
    "edge", "ingester-1", "query-1", "admin-1", "edit-1", "rw-1", "valkey", "postgres",
]  # fmt: skip
UPLOADERS = 4
LARGE_BYTES = 3 << 20


@dataclass
class Uploads:
    """What was acknowledged: id -> sha256. Refusals are fine, lies are not."""

    http: httpx2.Client
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: dict[str, str] = field(default_factory=dict)
    failures: int = 0

    def run(self, worker: int) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            size = LARGE_BYTES if number % 10 == 0 else 1 + number % 9000
            retention = "P1D" if number % 2 else "none"
            self.upload(os.urandom(size), f"{worker}-{number}.bin", retention)

    def upload(self, content: bytes, name: str, retention: str) -> None:
        params = {"filename": name, "retention": retention, "collection": "survival"}
        try:
            answer = self.http.post("/api/v1/files", params=params, content=content)
        except httpx2.HTTPError:
            self.failures += 1
            time.sleep(0.05)
            return
        if answer.status_code == 201:
            self.acknowledged[answer.json()["file_id"]] = hashlib.sha256(content).hexdigest()
            return
        assert answer.status_code in {502, 503}, answer.text
        self.failures += 1
        time.sleep(0.05)


def test_every_process_may_die_while_files_come_in(
    stack: RunningStack, store: ArtStore, http: httpx2.Client
) -> None:
    uploads = Uploads(http)
    with ThreadPoolExecutor(UPLOADERS) as pool:
        workers = [pool.submit(uploads.run, worker) for worker in range(UPLOADERS)]
        try:
            for name in PROCESSES:
                before = len(uploads.acknowledged)
                kill_and_wait(stack, name)
                wait_until(
                    lambda before=before: len(uploads.acknowledged) > before + 20,
                    f"uploads going on after the death of {name}",
                )
        finally:
            uploads.stop.set()
        for worker in workers:
            worker.result()

    stack.wait_ready()
    answers = {
        file_id: verdict(http, file_id, sha256) for file_id, sha256 in uploads.acknowledged.items()
    }
    assert {file_id: text for file_id, text in answers.items() if text != "intact"} == {}
    assert len(uploads.acknowledged) > 200
    wait_until(
        lambda: (
            set(uploads.acknowledged) <= {f.file_id for f in store.files(collection="survival")}
        ),
        "the catalogue showing every file",
    )


def verdict(http: httpx2.Client, file_id: str, sha256: str) -> str:
    answer = http.get(f"/api/v1/files/{file_id}/content")
    if answer.status_code != 200:
        return answer.text
    return "intact" if hashlib.sha256(answer.content).hexdigest() == sha256 else "damaged"


def kill_and_wait(stack: RunningStack, name: str) -> None:
    pid = stack.process(name).pid
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not psutil.pid_exists(pid) or stack.process(name).pid != pid, f"{name} dying"
    )
    wait_until(
        lambda: stack.process(name).pid != pid and stack.process(name).health == "ready",
        f"{name} coming back",
    )


def test_an_element_that_hangs_is_unavailable_and_loses_nothing(
    stack: RunningStack, http: httpx2.Client
) -> None:
    stored = http.post("/api/v1/files", params={"filename": "before.txt"}, content=b"before")
    element = psutil.Process(stack.process("edit-1").pid)
    element.suspend()
    try:
        answer = http.post(
            "/api/v1/files", params={"filename": "during.txt"}, content=b"during", timeout=90
        )
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        element.resume()

    wait_until(
        lambda: (
            http.post(
                "/api/v1/files", params={"filename": "after.txt"}, content=b"after"
            ).status_code
            == 201
        ),
        "uploads going on",
    )
    content = http.get(f"/api/v1/files/{stored.json()['file_id']}/content")
    assert content.content == b"before"
