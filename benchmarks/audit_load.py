"""What the audit costs uploads, and how many events a second it takes, in one run.

    python -m benchmarks.audit_load [--rounds 3] [--seconds 20] [--connections 16] [--rate 0]

Starts an ArtStore of its own and uploads files of 4 KiB through the edge, in rounds of three:

    alone      nobody follows the elements: neither catalogue nor audit events
    followed   catalogue rows and audit events are written, but no log
    audited    everything

Beside the latencies it prints the CPU time of each process per upload, which other work on the
machine disturbs little. What is left out is left out by holding the advisory locks of those who
do it, as another instance would. What piled up meanwhile is written down before the next phase
begins, and how fast that goes is the other figure. `--rate` sends so many uploads a second
instead of as many as are answered: latencies compare at one and the same load only.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import ssl
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

import aiohttp
import psycopg
import uvloop

from artstore.admin.repository.audit_log import LOCK_KEY
from artstore.admin.repository.positions import lock_key
from artstore.client import ArtStore
from artstore.local.home import Home
from artstore.local.modules import ELEMENTS
from artstore.local.ports import free_ports
from artstore.local.stack import Stack
from benchmarks._stack import cpu_s

Connection = psycopg.Connection[tuple[object, ...]]

CONTENT = os.urandom(4096)
FOLLOWERS = [lock_key(name) for name in ELEMENTS]
PHASES = {"alone": [*FOLLOWERS, LOCK_KEY], "followed": [LOCK_KEY], "audited": []}
# One argument or two: pg_locks shows a 64-bit key in halves.
_HOLDERS = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()
  AND ((classid::bigint << 32) | objid::bigint) = %s
"""
DRAINED_LIMIT_S = 600


@dataclass(frozen=True)
class Load:
    url: str
    ca_file: Path
    token: str
    connections: int
    seconds: float
    rate: float


@dataclass(frozen=True)
class Measured:
    uploads_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: Mapping[str, float]
    """Of each process, for one upload."""


async def _upload(load: Load) -> Measured:
    latencies: list[float] = []
    started = time.perf_counter()
    pace = load.connections / load.rate if load.rate else 0.0
    headers = {"Authorization": f"Bearer {load.token}", "Content-Type": "text/plain"}
    trusted = ssl.create_default_context(cafile=load.ca_file)
    connector = aiohttp.TCPConnector(limit=0, ssl=trusted)

    async def run(session: aiohttp.ClientSession, worker: int) -> None:
        due = started + pace * worker / load.connections
        while time.perf_counter() - started < load.seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += pace
            sent = time.perf_counter()
            async with session.post("/api/v1/files?filename=a.txt", data=CONTENT) as answer:
                await answer.read()
                if answer.status != 201:
                    raise SystemExit(f"an upload was answered with {answer.status}")
            latencies.append(time.perf_counter() - sent)

    async with (
        aiohttp.ClientSession(load.url, connector=connector, headers=headers) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for worker in range(load.connections):
            tasks.create_task(run(session, worker))
    cuts = quantiles(latencies, n=100)
    elapsed_s = time.perf_counter() - started
    return Measured(len(latencies) / elapsed_s, cuts[49] * 1000, cuts[98] * 1000, {})


def upload(load: Load, pids: Mapping[str, int]) -> Measured:
    """In a process of its own."""
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    measured = _upload_elsewhere(load)
    uploads = measured.uploads_per_s * load.seconds
    return replace(
        measured,
        cpu_us={name: (cpu_s(pid) - before[name]) / uploads * 1e6 for name, pid in pids.items()},
    )


def _upload_elsewhere(load: Load) -> Measured:
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[Measured] = context.Queue()
    process = context.Process(target=lambda: results.put(uvloop.run(_upload(load))))
    process.start()
    measured = results.get()
    process.join()
    return measured


@contextlib.contextmanager
def held(connection: Connection, keys: list[int]) -> Iterator[None]:
    """Take these locks from whoever has them, and let them be taken again at the end."""
    for key in keys:
        while not _try_lock(connection, key):
            for (pid,) in connection.execute(_HOLDERS, (key,)).fetchall():
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock_all()")


def _try_lock(connection: Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return bool(row and row[0])


def logged(connection: Connection) -> int:
    row = connection.execute("SELECT size FROM audit.log").fetchone()
    return int(str(row[0])) if row else 0


def drained(connection: Connection, size: int) -> float:
    """Seconds until the log has that many entries."""
    started = time.perf_counter()
    while logged(connection) < size:
        if time.perf_counter() - started > DRAINED_LIMIT_S:
            raise SystemExit("the log does not catch up")
        time.sleep(0.1)
    return time.perf_counter() - started


def measure(connection: Connection, load: Load, pids: Mapping[str, int], rounds: int) -> None:
    found: dict[str, list[Measured]] = defaultdict(list)
    for number in range(rounds):
        for name, keys in PHASES.items():
            before = logged(connection)
            with held(connection, keys):
                found[name].append(upload(load, pids))
            uploads = round(found[name][-1].uploads_per_s * load.seconds)
            during = (logged(connection) - before) / load.seconds
            seconds = drained(connection, before + uploads)
            measured = found[name][-1]
            catching_up = (uploads - during * load.seconds) / seconds
            print(
                f"{number + 1} {name:9} {measured.uploads_per_s:7.0f} uploads/s"
                f"  p50 {measured.p50_ms:6.2f} ms  p99 {measured.p99_ms:7.2f} ms"
                f"  {during:6.0f} events/s logged meanwhile"
                f"  the rest in {seconds:5.1f} s ({catching_up:.0f}/s)",
                flush=True,
            )
            costs = ", ".join(f"{process} {us:.0f}" for process, us in measured.cpu_us.items())
            print(f"            CPU us an upload: {costs}", flush=True)
    alone = found["alone"]
    for name in ("followed", "audited"):
        for what in ("p50_ms", "p99_ms"):
            growth = median(getattr(item, what) for item in found[name]) / median(
                getattr(item, what) for item in alone
            )
            print(f"{name} against alone: {what[:3]} {growth * 100 - 100:+.1f} %")
    growth = median(m.p50_ms for m in found["audited"]) / median(
        m.p50_ms for m in found["followed"]
    )
    print(f"the log alone: p50 {growth * 100 - 100:+.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="as-") as folder:
        stack = Stack(Home.at(Path(folder) / "home"), free_ports())
        stack.start()
        try:
            with ArtStore.from_home(stack.home.root) as store:
                load = Load(
                    stack.layout.edge_url,
                    stack.layout.certificates.authority_file,
                    store.token(),
                    options.connections,
                    options.seconds,
                    options.rate,
                )
            url = stack.layout.postgres.url(stack.layout.superuser)
            with psycopg.connect(url, autocommit=True) as connection:
                pids = {report.name: report.pid for report in stack.processes() if report.pid}
                measure(connection, load, pids, options.rounds)
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
