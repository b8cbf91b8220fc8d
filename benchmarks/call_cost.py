"""What a call from module to module costs its caller: by aiohttp, which streams, and in one piece.

    python -m benchmarks.call_cost [--files 16] [--calls 1500]

Needs nothing running: the element is a process that answers at once, over mutual TLS. Prints the
CPU time of the caller alone for a call: median and least of slices of 50.
"""

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import uvloop

from artstore.core.clock import SystemClock
from artstore.core.http import Transport
from artstore.core.private_files import private_folder
from artstore.core.tls import PeerIdentity, TlsFiles, server_context
from artstore.core.web.safe_headers import with_safe_headers
from artstore.local.certificate_store import CertificateStore

PORT = 18497
URL = f"https://127.0.0.1:{PORT}/api/v1/files:batch"
KIND = "application/vnd.artstore.files"
FILE_BYTES = 4700
"""4 KiB with what is said of it."""
LINE_BYTES = 850
SLICE = 50


class Element(asyncio.Protocol):
    def __init__(self, answer: bytes, request_bytes: int) -> None:
        self._answer = answer
        self._request_bytes = request_bytes
        self._left_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._left_bytes:
            data = data.partition(b"\r\n\r\n")[2]
            self._left_bytes = self._request_bytes
        self._left_bytes -= len(data)
        if not self._left_bytes:
            self._transport.write(self._answer)  # type: ignore[attr-defined]


def serve(tls: TlsFiles, files: int) -> None:
    body = b"x" * LINE_BYTES * files
    fields = with_safe_headers([(b"content-length", b"%d" % len(body))])
    head = b"".join(b"%b: %b\r\n" % field for field in fields)
    answer = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (head, body)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: Element(answer, FILE_BYTES * files),
            "127.0.0.1",
            PORT,
            ssl=server_context(tls),
        )
        await server.serve_forever()

    uvloop.run(run())


async def cost_us(call: Callable[[], Awaitable[object]], calls: int) -> list[float]:
    costs = []
    for _ in range(calls // SLICE):
        began_s = time.process_time()
        for _ in range(SLICE):
            await call()
        costs.append((time.process_time() - began_s) / SLICE * 1e6)
    return costs


async def compare(tls: TlsFiles, files: int, calls: int) -> None:
    transport = Transport(tls)
    body = os.urandom(FILE_BYTES * files)

    async def streaming() -> None:
        headers = {"Content-Type": KIND}
        async with transport.request(
            "POST", URL, peer="storage", headers=headers, data=body
        ) as response:
            await response.read()

    async def in_one_piece() -> None:
        await transport.exchange(
            "POST", URL, peer="storage", content_type=KIND, body=body, timeout_s=30
        )

    await reachable(in_one_piece)
    for call in (streaming, in_one_piece) * 2:
        found = await cost_us(call, calls)
        print(f"{call.__name__}, {files} files: {median(found):.0f} us ({min(found):.0f})")
    await transport.close()


async def reachable(call: Callable[[], Awaitable[object]]) -> None:
    for _ in range(200):
        try:
            await call()
        except Exception:  # noqa: BLE001  it has only just been started
            await asyncio.sleep(0.05)
        else:
            return
    raise SystemExit("the element does not answer")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--calls", type=int, default=1500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = CertificateStore(private_folder(Path(folder) / "pki"))
        for module in ("storage", "ingester"):
            store.renew(PeerIdentity(module, f"{module}-1"), SystemClock().now())
        element = multiprocessing.get_context("fork").Process(
            target=serve, args=(store.files("storage-1"), options.files), daemon=True
        )
        element.start()
        uvloop.run(compare(store.files("ingester-1"), options.files, options.calls))
        element.terminate()


if __name__ == "__main__":
    main()
