"""What one small upload costs a client: httpx2 and aiohttp on an event loop, over TLS.

    python -m benchmarks.client_request_cost [--requests 5000]

Needs nothing running: the server is a process that answers at once. Prints the processor
time of the client alone. The reason why `AsyncArtStore` stands on aiohttp.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import uvicorn

from artstore.core.clock import SystemClock
from artstore.core.private_files import private_folder
from artstore.core.tls import PeerIdentity, TlsFiles
from artstore.local.certificate_store import CertificateStore

PORT = 18499
URL = f"https://127.0.0.1:{PORT}/api/v1/files?filename=document-%d.txt&collection=default"
BODY = os.urandom(4096)
HEADERS = {"authorization": "Bearer " + "x" * 900, "content-type": "text/plain"}
ANSWER = json.dumps({"file_id": "0" * 36, "sha256": "a" * 64, "size": len(BODY)}).encode()

Send = Callable[[int], Awaitable[Any]]


async def answer_at_once(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def serve(tls: TlsFiles, ready: Event) -> None:
    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

    config = uvicorn.Config(
        answer_at_once,
        port=PORT,
        lifespan="off",
        log_level="error",
        ssl_certfile=tls.certificate,
        ssl_keyfile=tls.key,
    )
    Server(config).run()


async def measure(send: Send, requests: int, tasks: int) -> dict[str, float]:
    numbers = iter(range(requests))

    async def work() -> None:
        for number in numbers:
            await send(number)

    await send(0)
    started, started_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[work() for _ in range(tasks)])
    elapsed_s = time.perf_counter() - started
    return {
        "cpu_ms_per_request": round((time.process_time() - started_cpu) / requests * 1000, 3),
        "requests_per_s": round(requests / elapsed_s),
    }


async def compare(context: ssl.SSLContext, requests: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for tasks in (16, 64):
        limits = httpx2.Limits(max_connections=tasks, max_keepalive_connections=tasks)
        async with httpx2.AsyncClient(verify=context, limits=limits, trust_env=False) as client:

            async def by_httpx2(number: int, client: httpx2.AsyncClient = client) -> None:
                (await client.post(URL % number, content=BODY, headers=HEADERS)).json()

            results[f"httpx2, {tasks} connections"] = await measure(by_httpx2, requests, tasks)
        connector = aiohttp.TCPConnector(ssl=context, limit=tasks)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def by_aiohttp(number: int, session: aiohttp.ClientSession = session) -> None:
                async with session.post(URL % number, data=BODY, headers=HEADERS) as answer:
                    json.loads(await answer.read())

            results[f"aiohttp, {tasks} connections"] = await measure(by_aiohttp, requests, tasks)
    return results


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5000)
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as name:
        store = CertificateStore(private_folder(Path(name) / "pki"))
        store.authority(SystemClock().now())
        store.renew(PeerIdentity("edge", "edge-1"), SystemClock().now())
        tls = store.files("edge-1")
        ready = multiprocessing.Event()
        server = multiprocessing.Process(target=serve, args=(tls, ready))
        server.start()
        try:
            ready.wait(20)
            context = ssl.create_default_context(cafile=tls.ca)
            print(json.dumps(asyncio.run(compare(context, requests)), indent=2))
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
