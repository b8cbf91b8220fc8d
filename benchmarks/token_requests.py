"""How many token requests a second one admin process answers, with its real database.

`python -m benchmarks.token_requests [seconds]`. The goal is 500. Each answer costs one RSA-3072
signature (about 1.5 to 2 ms of one core) and one audit event that is on disk before the answer;
the first line tells what signing alone allows on this machine.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.support import postgres, valkey
from tests.support.admin import Admin, Installation
from tests.support.breakable import BreakableServer
from tests.support.pki import Pki
from tests.support.processes import short_folder

from artstore.core.private_files import private_folder
from artstore.core.tls import client_context, server_name

CONNECTIONS = 32
SIGNATURES = 200
IDLE_S = 5.0
"""What the process does beside requests is measured first, and not counted."""


def signatures_per_s() -> float:
    """Of one core."""
    key = rsa.generate_private_key(65537, 3072)
    started_s = time.perf_counter()
    for _ in range(SIGNATURES):
        key.sign(b"x" * 500, padding.PKCS1v15(), hashes.SHA256())
    return SIGNATURES / (time.perf_counter() - started_s)


@contextmanager
def admin() -> Iterator[Admin]:
    with (
        postgres.prepared_server() as made,
        valkey.prepared_server() as (server, cache),
        short_folder() as folder,
    ):
        database = BreakableServer(made.server.command(), made.server.is_ready, folder / "pg")
        fast = BreakableServer(
            server.command(), lambda _: server.is_ready(cache.password), folder / "valkey"
        )
        with database.running(), fast.running():
            pki = Pki(private_folder(folder / "tls"))
            installation = Installation(Path(folder), made.database("tokens"), cache, pki)
            installation.write()
            done = installation.prepare()
            assert done.returncode == 0, done.stderr
            with installation.serve() as running:
                yield running


async def requests_per_s(running: Admin, seconds: float) -> float:
    body = {
        "grant_type": "client_credentials",
        "client_id": "cli",
        "client_secret": running.installation.cli_secret,
    }
    context = client_context(running.installation.pki.files("edge"))
    answered = 0
    ends_at_s = time.perf_counter() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.perf_counter() < ends_at_s:
            async with session.post(
                f"{running.process.url}/api/v1/auth/token",
                data=body,
                server_hostname=server_name("admin"),
            ) as answer:
                await answer.read()
                assert answer.status == 200, answer.status
                answered += 1

    connector = aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(ask(session) for _ in range(CONNECTIONS)))
    return answered / seconds


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"{signatures_per_s():.0f} RSA-3072 signatures/s on one core")
    with admin() as running:
        running.token()
        process = psutil.Process(running.process.pid)
        before_s = _cpu_s(process)
        time.sleep(IDLE_S)
        idle_share = (_cpu_s(process) - before_s) / IDLE_S
        before_s = _cpu_s(process)
        rate = asyncio.run(requests_per_s(running, seconds))
        spent_s = _cpu_s(process) - before_s - idle_share * seconds
        each_ms = spent_s / (rate * seconds) * 1000
    print(f"{rate:.0f} token requests/s; {each_ms:.2f} ms of CPU each in the admin process")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
