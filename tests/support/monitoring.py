"""Prometheus and AlertManager as `artstore monitor up` runs them beside the stack.

`monitoring` (session): a `Monitoring`, with a receiver that is told of its alerts.
"""

import json
import os
import re
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
from typing import Any

import httpx2
import pytest
from tests.support.stack import RunningStack

from artstore.local.monitor import PROMETHEUS_PATH
from artstore.local.ports import MonitorPorts
from artstore.local.supervisor import read_status

PROGRAMS = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter")
needs_prometheus = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)),
    reason="needs the Debian packages prometheus, -alertmanager and -node-exporter",
)

Alert = dict[str, Any]


@dataclass(frozen=True)
class Monitoring:
    url: str
    alerts: list[Alert]
    """All that have arrived so far."""

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = httpx2.post(f"{self.url}/api/v1/query", data={"query": expression}, timeout=30)
        assert answer.status_code == 200, (expression, answer.text)
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def has_numbers(self, expression: str) -> bool:
        return any(sample["value"][1] != "NaN" for sample in self.query(expression))

    def wait_for(self, name: str, limit_s: float) -> Alert:
        found: list[Alert] = []

        def has_arrived() -> bool:
            found[:] = [
                alert
                for alert in list(self.alerts)
                if alert["labels"]["alertname"] == name and alert["status"] == "firing"
            ]
            return bool(found)

        eventually(has_arrived, f"alert {name}", limit_s)
        return found[0]


@contextmanager
def receiver() -> Iterator[tuple[str, list[Alert]]]:
    """Whoever is told of alerts."""
    received: list[Alert] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for alert in body["alerts"]:
                received.append(alert | {"path": self.path})
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


@contextmanager
def watching(stack: RunningStack) -> Iterator[Monitoring]:
    with receiver() as (webhook, alerts):
        command = [sys.executable, "-m", "artstore.cli", "monitor", "up", "--webhook", webhook]
        environment = {**os.environ, "ARTSTORE_HOME": str(stack.home)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"Prometheus")
            ports = MonitorPorts.beside(stack.layout.ports)
            try:
                yield Monitoring(f"http://127.0.0.1:{ports.prometheus}{PROMETHEUS_PATH}", alerts)
            finally:
                process.send_signal(signal.SIGINT)
        assert process.returncode == 0


@pytest.fixture(scope="session")
def monitoring(stack: RunningStack) -> Iterator[Monitoring]:
    with watching(stack) as monitoring:
        yield monitoring


def hasten(stack: RunningStack, times: int) -> None:
    """Prometheus reads the alerts anew, each with a shorter `for`; thresholds stay."""
    folder = stack.home / "config" / "monitoring"
    alerts = (folder / "alerts.yml").read_text("utf-8")
    seconds = {"m": 60, "h": 3600, "d": 86400}

    def shorter(found: "re.Match[str]") -> str:
        return f"for: {int(found[1]) * seconds[found[2]] // times}s"

    (folder / "alerts.yml").write_text(re.sub(r"for: (\d+)([mhd])", shorter, alerts), "utf-8")
    programs = read_status(stack.home / "run" / "monitor.json")
    pid = next(each.pid for each in programs if each.name == "prometheus")
    assert pid is not None
    os.kill(pid, signal.SIGHUP)


def eventually(
    condition: Callable[[], bool], what: "str | Callable[[], str]", limit_s: float = 90
) -> None:
    ends_at_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends_at_s:
            pytest.fail(f"no {what if isinstance(what, str) else what()} within {limit_s:.0f} s")
        time.sleep(1)
