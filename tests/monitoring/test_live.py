"""A real Prometheus and AlertManager watch a real stack (S24).

Goal: no panel and no rule that never shows anything, and an alert that reaches somebody.
Method: `artstore monitor up` beside the running stack, some traffic of every kind, then each
expression is asked for; last, a storage element is stopped until its alert has arrived.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from tests.support.stack import RunningStack

from artstore.client import ArtStore
from artstore.core.errors import ArtStoreError
from artstore.local.monitor import MonitorPorts

ROOT = Path(__file__).parents[2] / "monitoring"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(
            map(shutil.which, ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter"))
        ),
        reason="needs the Debian packages prometheus, -alertmanager and -node-exporter",
    ),
]

Alert = dict[str, Any]


@dataclass(frozen=True)
class Monitoring:
    url: str
    alerts: "queue.Queue[Alert]"

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = httpx2.post(f"{self.url}/api/v1/query", data={"query": expression}, timeout=30)
        assert answer.status_code == 200, (expression, answer.text)
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def has_numbers(self, expression: str) -> bool:
        return any(sample["value"][1] != "NaN" for sample in self.query(expression))

    def wait_for(self, name: str, limit_s: float) -> Alert:
        ends_at_s = time.monotonic() + limit_s
        while True:
            alert = self.alerts.get(timeout=max(0.1, ends_at_s - time.monotonic()))
            if alert["labels"]["alertname"] == name and alert["status"] == "firing":
                return alert


@contextmanager
def receiver() -> Iterator[tuple[str, "queue.Queue[Alert]"]]:
    """Whoever is told of alerts."""
    received: queue.Queue[Alert] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for alert in body["alerts"]:
                received.put(alert | {"path": self.path})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def store(stack: RunningStack) -> Iterator[ArtStore]:
    with ArtStore.from_home(stack.home) as store:
        yield store


@pytest.fixture(scope="module")
def monitoring(stack: RunningStack) -> Iterator[Monitoring]:
    with receiver() as (webhook, alerts):
        command = [sys.executable, "-m", "artstore.cli", "monitor", "up", "--webhook", webhook]
        environment = {**os.environ, "ARTSTORE_HOME": str(stack.home)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"Prometheus")
            ports = MonitorPorts.beside(stack.layout)
            yield Monitoring(f"http://127.0.0.1:{ports.prometheus}", alerts)
            process.send_signal(signal.SIGINT)
        assert process.returncode == 0


def test_every_target_is_up(monitoring: Monitoring) -> None:
    eventually(lambda: len(monitoring.query("up == 1")) == 8, "all targets being up")

    assert monitoring.query("up == 0") == []


def test_every_panel_and_every_rule_shows_something(
    monitoring: Monitoring, store: ArtStore, tmp_path: Path
) -> None:
    def silent() -> list[str]:
        make_traffic(store, tmp_path)
        return [each for each in expressions() if not monitoring.has_numbers(each)]

    eventually(lambda: silent() == [], lambda: f"numbers in {silent()}", limit_s=150)


def test_the_check_of_expressions_can_fail(monitoring: Monitoring) -> None:
    assert not monitoring.has_numbers("artstore_no_such_metric")
    assert len(list(expressions())) > 40


def test_the_watchdog_reaches_its_receiver(monitoring: Monitoring) -> None:
    assert monitoring.wait_for("Watchdog", limit_s=90)["path"] == "/watchdog"


def test_an_element_that_is_gone_reaches_a_person(
    stack: RunningStack, monitoring: Monitoring
) -> None:
    pid = stack.process("rw-1").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        # Two minutes by its rule, and what scrape, evaluation and grouping add.
        alert = monitoring.wait_for("ServiceDown", limit_s=240)
    finally:
        os.kill(pid, signal.SIGCONT)

    assert alert["path"] == "/critical"
    assert alert["labels"]["job"] == "storage"
    assert alert["annotations"]["summary"].endswith("is down")
    stack.wait_ready()


def expressions() -> Iterator[str]:
    """Of all panels, of all recorded series, and of what alerts compare."""
    for file in (ROOT / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            yield from (target["expr"] for target in panel["targets"])
    for group in yaml.safe_load((ROOT / "prometheus" / "rules.yml").read_text())["groups"]:
        yield from (rule["record"] for rule in group["rules"])


def make_traffic(store: ArtStore, folder: Path) -> None:
    file = folder / "letter.txt"
    file.write_text("Dear reader")
    stored = store.put(file)
    store.get(stored.file_id, folder / "copy.txt")
    list(store.search("letter", limit=1))
    with pytest.raises(ArtStoreError):
        store.get("01890000-0000-7000-8000-000000000000", folder / "none.txt")


def eventually(
    condition: Callable[[], bool], what: "str | Callable[[], str]", limit_s: float = 90
) -> None:
    ends_at_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends_at_s:
            pytest.fail(f"no {what if isinstance(what, str) else what()} within {limit_s:.0f} s")
        time.sleep(1)
