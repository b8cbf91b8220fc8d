"""Load for the benchmarks of the storage element: plain sockets, in a process of their own, so
that it costs little of the machine that both share; and what to compare with."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import psutil
import uvloop

from artstore.core.model.ids import FileId, FileIdSource

DRAFT = {
    "original_filename": "report.pdf",
    "content_type": "application/pdf",
    "uploaded_by": {"subject": "benchmark", "name": "benchmark", "via": "benchmark"},
    "tags": ["benchmark"],
}

CONNECTING_S = 0.02
"""For one connection, at most."""

NewRequest = Callable[[Callable[[], FileId]], bytes]
"""One request as bytes on the wire, with fresh file ids."""


@dataclass(frozen=True)
class Load:
    """`files`: in one request. `server_name`: of the certificate, with `tls`. `rate`: requests a
    second, on a timetable that does not wait for answers; 0: the next one when one is answered.
    """

    request: NewRequest
    status: bytes
    connections: int
    seconds: float
    files: int = 1
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    rate: float = 0


@dataclass(frozen=True)
class Measured:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered, and not before it is due.

    What waits for an earlier answer counts from when it was due: a server that stands still for a
    second makes all those late that would have come in it.
    """

    def __init__(self, load: Load, ids: FileIdSource, first_s: float, deadline_s: float) -> None:
        self._load = load
        self._ids = ids
        self._due_s = first_s
        self._deadline_s = deadline_s
        self._answer = b""
        self.latencies_s: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send_when_due(time.perf_counter())

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, rest = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        if not head.startswith(b"HTTP/1.1 " + self._load.status):
            self.done.set_exception(RuntimeError(self._answer.decode()))
            return
        now_s = time.perf_counter()
        self.latencies_s.append(now_s - self._due_s)
        self._answer = b""
        self._due_s += self._load.connections / self._load.rate if self._load.rate else 0
        self._send_when_due(now_s)

    def _send_when_due(self, now_s: float) -> None:
        if not self._load.rate:
            self._due_s = now_s
        if max(self._due_s, now_s) >= self._deadline_s:
            self.done.set_result(None)
        elif self._due_s <= now_s:
            self._send()
        else:
            asyncio.get_running_loop().call_later(self._due_s - now_s, self._send)

    def _send(self) -> None:
        self._transport.write(self._load.request(self._new_id))

    def _new_id(self) -> FileId:
        return self._ids.new(datetime.now(UTC), os.urandom(10))


async def _run(port: int, load: Load) -> Measured:
    ids = FileIdSource()
    # With a rate, the timetable begins when all are connected.
    started_s = time.perf_counter() + (load.connections * CONNECTING_S if load.rate else 0)
    step_s = 1 / load.rate if load.rate else 0
    connections = [
        _Connection(load, ids, started_s + number * step_s, started_s + load.seconds)
        for number in range(load.connections)
    ]
    for connection in connections:
        await _connect(port, load, connection)
    await asyncio.gather(*(connection.done for connection in connections))
    latencies_s = [latency_s for connection in connections for latency_s in connection.latencies_s]
    cuts = quantiles(latencies_s, n=100)
    seconds = time.perf_counter() - started_s
    return Measured(len(latencies_s), seconds, cuts[49] * 1000, cuts[98] * 1000)


async def _connect(port: int, load: Load, connection: _Connection) -> None:
    await asyncio.get_running_loop().create_connection(
        lambda: connection, "127.0.0.1", port, ssl=load.tls, server_hostname=load.server_name
    )


def run_load(port: int, load: Load) -> Measured:
    """In a process of its own."""
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[Measured] = context.Queue()
    process = context.Process(target=lambda: results.put(uvloop.run(_run(port, load))))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the load failed; its message is above")
    return results.get()


def put_request(size: int) -> NewRequest:
    head = json.dumps({**DRAFT, "size": size}).encode()
    body = len(head).to_bytes(4) + head + os.urandom(size)
    end = (
        "Host: element\r\nContent-Type: application/vnd.artstore.file\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    return lambda new_id: b"PUT /api/v1/files/%b HTTP/1.1\r\n%b" % (new_id().encode(), end)


@contextlib.contextmanager
def bare_server(port: int) -> Iterator[None]:
    """uvicorn and nothing else: reads a body, answers with 600 bytes. What Python can do here."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks._bare", str(port)])
    try:
        _wait_until(lambda: _answers(f"http://127.0.0.1:{port}/"))
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def element(folder: Path, port: int, *, keep: bool) -> Iterator[int]:
    """An element as a process, without TLS; gives the id of the process. Its files stay until
    the end: ext4 is slow to create files for a minute after many were deleted."""
    folder = Path(tempfile.mkdtemp(prefix="artstore-bench-", dir=folder))
    environment = {
        **os.environ,
        "ARTSTORE_PROFILE": "development",
        "ARTSTORE_INSTANCE": "storage-1",
        "ARTSTORE_PORT": str(port),
        "ARTSTORE_ELEMENT_ID": "bench-1",
        "ARTSTORE_ROOT": str(folder / "element"),
    }
    command = [sys.executable, "-m", "artstore.storage"]
    process = subprocess.Popen(command, env=environment, stdout=(folder / "log").open("wb"))
    try:
        _wait_until(lambda: _answers(f"http://127.0.0.1:{port}/health/live"))
        yield process.pid
    finally:
        process.terminate()
        process.wait()
        if keep:
            print(f"left in place: {folder}")
        else:
            shutil.rmtree(folder)


def helper_cpu_s(element_pid: int) -> float:
    """CPU of the process that makes an element's files; the element's own is in `metrics`."""
    times = [child.cpu_times() for child in psutil.Process(element_pid).children()]
    return sum(time.user + time.system for time in times)


def metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except OSError:
        return False


def _wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise SystemExit("the server did not start")
