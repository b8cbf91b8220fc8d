"""A whole ArtStore to measure, and what its processes cost."""

import json
import os
import ssl
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from artstore.client import load_profile
from artstore.core.tls import TlsFiles
from artstore.local.home import Home
from artstore.local.ports import free_ports
from artstore.local.stack import Stack


@dataclass(frozen=True)
class RunningStack:
    stack: Stack

    @property
    def home(self) -> Path:
        return self.stack.home.root

    @property
    def edge_url(self) -> str:
        return self.stack.layout.edge_url

    def port(self, name: str) -> int:
        return next(process.port for process in self.stack.processes() if process.name == name)

    def pids(self) -> dict[str, int]:
        return {process.name: process.pid for process in self.stack.processes() if process.pid}

    @property
    def edge_certificate(self) -> TlsFiles:
        return self.stack.layout.certificates.files("edge-1")

    def tls(self, *, with_certificate: bool) -> ssl.SSLContext:
        """Towards a module (which wants one), or towards the edge."""
        files = self.edge_certificate
        context = ssl.create_default_context(cafile=files.ca)
        if with_certificate:
            context.load_cert_chain(files.certificate, files.key)
        return context

    def token(self) -> str:
        profile = load_profile(self.home)
        form = {
            "grant_type": "client_credentials",
            "client_id": profile.client_id,
            "client_secret": profile.client_secret,
        }
        request = urllib.request.Request(
            f"{profile.edge_url}/api/v1/auth/token", urllib.parse.urlencode(form).encode()
        )
        with urllib.request.urlopen(request, context=self.tls(with_certificate=False)) as answer:
            return str(json.load(answer)["access_token"])

    def cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self.pids().items()}


@contextmanager
def running_stack(folder: Path | None = None, kind: type[Stack] = Stack) -> Iterator[RunningStack]:
    """Args: `folder`: on the disk to measure."""
    with tempfile.TemporaryDirectory(prefix="as-", dir=folder, ignore_cleanup_errors=True) as name:
        stack = kind(Home.at(Path(name) / "home"), free_ports())
        stack.start()
        try:
            yield RunningStack(stack)
        finally:
            stack.stop()


def cpu_s(pid: int) -> float:
    """Of a process and its children."""
    root = psutil.Process(pid)
    times = [process.cpu_times() for process in [root, *root.children(recursive=True)]]
    return sum(time.user + time.system for time in times)


def cost_text(before: Mapping[str, float], after: Mapping[str, float], files: int) -> str:
    """Microseconds of CPU per file, by process."""
    shown = sorted(costs_us(before, after, files).items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {cost:.0f}" for name, cost in shown if cost >= 1)


def costs_us(
    before: Mapping[str, float], after: Mapping[str, float], files: int
) -> dict[str, float]:
    return {name: (after[name] - spent) / files * 1e6 for name, spent in before.items()}


def memory_bytes(pid: int) -> int:
    """Of the process and its children, without what they share."""
    root = psutil.Process(pid)
    memory = [process.memory_info() for process in [root, *root.children(recursive=True)]]
    return sum(each.rss - each.shared for each in memory)


def pdf(size: int) -> bytes:
    """Looks like one from both ends, as far as the ingester looks."""
    head, end = b"%PDF-1.7\n", b"\n%%EOF\n"
    return head + os.urandom(size - len(head) - len(end)) + end


def upload_request(bearer: str, content: bytes) -> bytes:
    head = (
        "POST /api/v1/files?filename=report.pdf&collection=bench HTTP/1.1\r\nHost: archive\r\n"
        f"Authorization: Bearer {bearer}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode()
    return head + content
