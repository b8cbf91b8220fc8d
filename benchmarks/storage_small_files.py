"""How many small files per second one storage element makes durable, through HTTP.

    python -m benchmarks.storage_small_files [--seconds 15] [--connections 64] [--bytes 4096]

One process, TLS off. The load comes from a second process that speaks HTTP over plain
sockets, so that it costs little of the machine that both share. The files stay on the disk
until the end: ext4 is slow to create files for a minute after many were deleted.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import uvloop

from artstore.core.model.ids import FileIdSource

DRAFT = {
    "original_filename": "report.pdf",
    "content_type": "application/pdf",
    "uploaded_by": {"subject": "benchmark", "name": "benchmark", "via": "benchmark"},
    "tags": ["benchmark"],
}


class Client(asyncio.Protocol):
    """One connection; sends the next file when the last one is acknowledged."""

    def __init__(self, deadline_s: float, body: bytes, ids: FileIdSource) -> None:
        self._deadline_s = deadline_s
        self._body = body
        self._ids = ids
        self._sent_s = 0.0
        self._answer = b""
        self.latencies_s: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, rest = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        if not head.startswith(b"HTTP/1.1 201"):
            self.done.set_exception(RuntimeError(self._answer.decode()))
            return
        now_s = time.perf_counter()
        self.latencies_s.append(now_s - self._sent_s)
        self._answer = b""
        if now_s < self._deadline_s:
            self._send()
        else:
            self.done.set_result(None)

    def _send(self) -> None:
        file_id = self._ids.new(datetime.now(UTC), os.urandom(10))
        self._sent_s = time.perf_counter()
        head = (
            f"PUT /api/v1/files/{file_id} HTTP/1.1\r\nHost: element\r\n"
            "Content-Type: application/vnd.artstore.file\r\n"
            f"Content-Length: {len(self._body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + self._body)


async def load(port: int, options: argparse.Namespace) -> list[float]:
    head = json.dumps({**DRAFT, "size": options.bytes}).encode()
    content = random.Random(1).randbytes(options.bytes)
    body = len(head).to_bytes(4) + head + content
    ids = FileIdSource()
    deadline_s = time.perf_counter() + options.seconds
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(deadline_s, body, ids), "127.0.0.1", port))[1]
        for _ in range(options.connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return [latency_s for client in clients for latency_s in client.latencies_s]


def run_load(
    port: int, options: argparse.Namespace, results: "multiprocessing.Queue[float]"
) -> None:
    started_s = time.perf_counter()
    latencies_s = uvloop.run(load(port, options))
    duration_s = time.perf_counter() - started_s
    cuts = quantiles(latencies_s, n=100)
    for value in (len(latencies_s), duration_s, cuts[49], cuts[98], time.process_time()):
        results.put(value)


def start_element(root: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "ARTSTORE_PROFILE": "development",
        "ARTSTORE_INSTANCE": "storage-1",
        "ARTSTORE_PORT": str(port),
        "ARTSTORE_ELEMENT_ID": "bench-1",
        "ARTSTORE_ROOT": str(root),
    }
    command = [sys.executable, "-m", "artstore.storage"]
    return subprocess.Popen(command, env=environment, stdout=(root.parent / "log").open("wb"))


def metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def wait_until_ready(port: int) -> None:
    for _ in range(200):
        try:
            metrics(port)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the element did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--port", type=int, default=18910)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", action="store_true", help="delete the files yourself, later")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="artstore-bench-", dir=options.folder))
    element = start_element(folder / "element", options.port)
    try:
        wait_until_ready(options.port)
        results: multiprocessing.Queue[float] = multiprocessing.Queue()
        process = multiprocessing.Process(target=run_load, args=(options.port, options, results))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit("the load failed; its message is above")
        count, duration_s, *rest = (results.get() for _ in range(5))
        report(count, duration_s, *rest)
        report_element(duration_s, metrics(options.port))
    finally:
        element.terminate()
        element.wait()
        if options.keep:
            print(f"left in place: {folder}")
        else:
            shutil.rmtree(folder)


def report(
    count: float, duration_s: float, median_s: float, p99_s: float, client_cpu_s: float
) -> None:
    print(f"{count / duration_s:.0f} durable uploads/s  ({count:.0f} in {duration_s:.1f} s)")
    print(f"latency p50 {median_s * 1000:.1f} ms, p99 {p99_s * 1000:.1f} ms")
    print(f"CPU of the client {client_cpu_s / duration_s:.2f}")


def report_element(duration_s: float, found: dict[str, float]) -> None:
    groups = found["artstore_wal_group_size_count"]
    flush_ms = found["artstore_wal_fsync_duration_seconds_sum"] / groups * 1000
    cpu = found["process_cpu_seconds_total"] / duration_s
    rss = found["process_resident_memory_bytes"] / (1 << 20)
    print(f"mean group {found['artstore_wal_group_size_sum'] / groups:.1f} records", end=", ")
    print(f"mean flush {flush_ms:.2f} ms; CPU of the element {cpu:.2f}, its memory {rss:.0f} MiB")


if __name__ == "__main__":
    main()
