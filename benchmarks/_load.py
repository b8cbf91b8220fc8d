"""Load for the benchmarks of the storage element: plain sockets, in a process of their own, so
that it costs little of the machine that both share; and what to compare with."""

import contextlib
import heapq
import json
import multiprocessing
import os
import select
import shutil
import socket
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

from artstore.core.model.ids import FileId, FileIdSource

DRAFT = {
    "original_filename": "report.pdf",
    "content_type": "application/pdf",
    "uploaded_by": {"subject": "benchmark", "name": "benchmark", "via": "benchmark"},
    "tags": ["benchmark"],
}

RECEIVED_BYTES = 16 << 10
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

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


class _Connection:
    """Sends the next request when the last one is answered, and not before it is due.

    What waits for an earlier answer counts from when it was due: a server that stands still for a
    second makes all those late that would have come in it.
    """

    def __init__(self, load: Load, ids: FileIdSource, peer: socket.socket) -> None:
        self.peer = peer
        self.due_s = 0.0
        self.latencies_s: list[float] = []
        self._load = load
        self._ids = ids
        self._answer = b""
        self._unsent = memoryview(b"")

    def send(self) -> bool:
        """The next request. Whether all of it could be written."""
        self._unsent = memoryview(self._load.request(self._new_id))
        return self.send_rest()

    def send_rest(self) -> bool:
        try:
            while self._unsent:
                self._unsent = self._unsent[self.peer.send(self._unsent) :]
        except NOT_NOW:
            return False
        return True

    def receive(self) -> bool:
        """What has come. Whether the answer is whole."""
        try:
            while not self._whole():
                data = self.peer.recv(RECEIVED_BYTES)
                if not data:
                    raise RuntimeError(f"closed after {self._answer!r}")
                self._answer += data
        except NOT_NOW:
            return False
        if not self._answer.startswith(b"HTTP/1.1 " + self._load.status):
            raise RuntimeError(self._answer.decode())
        self._answer = b""
        return True

    def _whole(self) -> bool:
        head, found, rest = self._answer.partition(b"\r\n\r\n")
        if not found:
            return False
        return len(rest) >= int(
            head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        )

    def _new_id(self) -> FileId:
        return self._ids.new(datetime.now(UTC), os.urandom(10))


class _Run:
    """One thread, `epoll` and TLS without a framework between: asyncio's protocols for the same
    cost more than an element does, on the machine that both share."""

    def __init__(self, port: int, load: Load) -> None:
        self._load = load
        ids = FileIdSource()
        self._connections = {
            peer.fileno(): _Connection(load, ids, peer)
            for peer in (_connect(port, load) for _ in range(load.connections))
        }
        self._poll = select.epoll()
        self._timetable: list[tuple[float, int]] = []
        """When who sends next."""
        self._busy = 0

    def run(self) -> Measured:
        started_s = time.perf_counter()
        self._deadline_s = started_s + self._load.seconds
        step_s = 1 / self._load.rate if self._load.rate else 0
        for number, (fd, connection) in enumerate(self._connections.items()):
            self._poll.register(fd, select.EPOLLIN)
            connection.due_s = started_s + number * step_s
            self._next(fd, started_s)
        while self._busy or self._timetable:
            self._wait()
        return self._measured(time.perf_counter() - started_s)

    def _wait(self) -> None:
        until_due_s = self._timetable[0][0] - time.perf_counter() if self._timetable else None
        events = self._poll.poll(None if until_due_s is None else max(0.0, until_due_s))
        for fd, event in events:
            if event & select.EPOLLOUT and self._connections[fd].send_rest():
                self._poll.modify(fd, select.EPOLLIN)
            if event & ~select.EPOLLOUT and self._connections[fd].receive():
                self._answered(fd)
        now_s = time.perf_counter()
        while self._timetable and self._timetable[0][0] <= now_s:
            self._send(heapq.heappop(self._timetable)[1])

    def _answered(self, fd: int) -> None:
        connection = self._connections[fd]
        self._busy -= 1
        now_s = time.perf_counter()
        connection.latencies_s.append(now_s - connection.due_s)
        rate = self._load.rate
        connection.due_s = connection.due_s + self._load.connections / rate if rate else now_s
        self._next(fd, now_s)

    def _next(self, fd: int, now_s: float) -> None:
        due_s = self._connections[fd].due_s
        if max(due_s, now_s) >= self._deadline_s:
            return
        if due_s <= now_s:
            self._send(fd)
        else:
            heapq.heappush(self._timetable, (due_s, fd))

    def _send(self, fd: int) -> None:
        self._busy += 1
        if not self._connections[fd].send():
            self._poll.modify(fd, select.EPOLLIN | select.EPOLLOUT)

    def _measured(self, seconds: float) -> Measured:
        latencies_s = [
            latency_s
            for connection in self._connections.values()
            for latency_s in connection.latencies_s
        ]
        cuts = quantiles(latencies_s, n=100)
        return Measured(len(latencies_s), seconds, cuts[49] * 1000, cuts[98] * 1000)


def _connect(port: int, load: Load) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if load.tls:
        peer = load.tls.wrap_socket(peer, server_hostname=load.server_name)
    peer.setblocking(False)
    return peer


def run_load(port: int, load: Load) -> Measured:
    """In a process of its own."""
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[Measured] = context.Queue()
    process = context.Process(target=lambda: results.put(_Run(port, load).run()))
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
