"""Clients that would cost memory if anything of theirs were held, and a watch on who grows."""

import asyncio
import contextlib
import os
import ssl
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

import psutil

MIB = 1 << 20
LOOK_EVERY_S = 0.2
AT_ONCE = 20
"""Connections that are being made: more would wait longer than a handshake may take."""
PART = "application/offset+octet-stream"

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Watch:
    """Memory is what a process does not share: resident, without files and shared memory. Of the
    processes under one name it is the one that grew most (PostgreSQL has many)."""

    growth_bytes: dict[str, int] = field(default_factory=dict)
    """Most of it at any moment."""

    @property
    def growth_mib(self) -> dict[str, float]:
        return {name: round(growth / MIB, 1) for name, growth in self.growth_bytes.items()}


@contextlib.contextmanager
def watching(pids: Mapping[str, int]) -> Iterator[Watch]:
    watch = Watch(dict.fromkeys(pids, 0))
    roots = {name: psutil.Process(pid) for name, pid in pids.items()}
    before: dict[int, int] = {}

    def look() -> None:
        for name, root in roots.items():
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    memory = process.memory_info()
                    own: int = memory.rss - memory.shared
                    growth = own - before.setdefault(process.pid, own)
                    watch.growth_bytes[name] = max(watch.growth_bytes[name], growth)

    def look_on() -> None:
        while not stopped.wait(LOOK_EVERY_S):
            look()

    look()
    stopped = threading.Event()
    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield watch
        look()
    finally:
        stopped.set()
        thread.join()


@dataclass(frozen=True)
class Door:
    """Where uploads go in: the edge, or an ingester itself."""

    port: int
    tls: ssl.SSLContext
    server_name: str
    token: str

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[_Streams]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls, server_hostname=self.server_name
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def head(self, method: str, path: str, headers: Mapping[str, object]) -> bytes:
        told = {"Host": "archive", "Authorization": f"Bearer {self.token}", **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {told[name]}" for name in told)]
        return "\r\n".join([*lines, "", ""]).encode()


async def upload(door: Door, size: int) -> str:
    """As one body. The file's address."""
    async with door.connection() as streams:
        path = "/api/v1/files?filename=large.bin"
        return await _send(streams, door.head("POST", path, {"Content-Length": size}), size)


async def upload_in_parts(door: Door, size: int) -> str:
    """By tus, in two requests. The file's address."""
    async with door.connection() as streams:
        told = f"filename {b64encode(b'large.bin').decode()}"
        head = {"Upload-Length": size, "Upload-Metadata": told, "Content-Length": 0}
        tus = {"Tus-Resumable": "1.0.0"}
        begin = door.head("POST", "/api/v1/uploads", head | tus)
        path = await _send(streams, begin, 0)
        head = {"Upload-Offset": 0, "Content-Type": PART, "Content-Length": size}
        return await _send(streams, door.head("PATCH", path, head | tus), size)


async def _send(streams: _Streams, head: bytes, size: int) -> str:
    reader, writer = streams
    writer.write(head)
    block = bytearray(os.urandom(MIB))
    for number in range(-(-size // MIB)):
        # Nothing can be saved on bytes that do not repeat.
        block[:8] = number.to_bytes(8)
        writer.write(bytes(block[: min(MIB, size - number * MIB)]))
        await writer.drain()
    return await _address(reader)


async def _address(reader: asyncio.StreamReader) -> str:
    """Of what the answer tells of, without its body being left behind."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    assert lines[0].split()[1] in {"201", "204"}, lines
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return headers.get("content-location") or headers.get("location") or ""


async def stay_idle(door: Door, number: int, seconds: float) -> None:
    """Connections that ask for something once and then say nothing."""
    turn = asyncio.Semaphore(AT_ONCE)
    async with contextlib.AsyncExitStack() as stack:

        async def come() -> None:
            async with turn:
                reader, writer = await stack.enter_async_context(door.connection())
                writer.write(door.head("OPTIONS", "/api/v1/uploads", {}))
                await _address(reader)

        await asyncio.gather(*(come() for _ in range(number)))
        await asyncio.sleep(seconds)


async def send_slowly(
    door: Door, number: int, piece_bytes: int, pieces: int, every_s: float
) -> None:
    """Uploads that all go on at the same time, piece by piece."""
    turn = asyncio.Semaphore(AT_ONCE)
    everybody = asyncio.Barrier(number)
    head = door.head(
        "POST", "/api/v1/files?filename=slow.bin", {"Content-Length": pieces * piece_bytes}
    )

    async def drip() -> None:
        piece = os.urandom(piece_bytes)
        async with contextlib.AsyncExitStack() as stack:
            async with turn:
                reader, writer = await stack.enter_async_context(door.connection())
                writer.write(head)
            await everybody.wait()
            for _ in range(pieces):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(every_s)
            await _address(reader)

    await asyncio.gather(*(drip() for _ in range(number)))
