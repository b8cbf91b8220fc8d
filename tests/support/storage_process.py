"""A storage element as a real process, without TLS, and uploads to it."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psutil
from tests.support.module_process import free_port, listens
from tests.support.processes import running

from artstore.core.model.ids import FileId, FileIdSource

HEAD = {
    "original_filename": "Отчёт.txt",
    "uploaded_by": {"subject": "person-1", "name": "clerk", "via": "ingester-1"},
}
FRAME = {"Content-Type": "application/vnd.artstore.file"}
IDS = FileIdSource()


@dataclass
class StorageProcess:
    port: int
    pid: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1{path}"

    def kill(self) -> None:
        """Like the power, without a chance to tidy up."""
        process = psutil.Process(self.pid)
        # Under a tracer the element itself is a child. Those that it started end with it.
        family = [*process.children(recursive=True), process]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)

    @property
    def rss_bytes(self) -> int:
        rss: int = psutil.Process(self.pid).memory_info().rss
        return rss


@contextlib.contextmanager
def storage_process(
    root: Path, *, tracer: Sequence[str] = (), log: Path | None = None, **settings: object
) -> Iterator[StorageProcess]:
    """Args: `tracer`: a command that the element runs under. `log`: not beside the root."""
    port = free_port()
    variables = {
        "PROFILE": "development",
        "INSTANCE": "storage-1",
        "PORT": port,
        "ELEMENT_ID": "edit-1",
        "ROOT": root,
        **settings,
    }
    environment = [f"ARTSTORE_{name}={value}" for name, value in variables.items()]
    command = [*tracer, "env", *environment, sys.executable, "-m", "artstore.storage"]
    log = log or root.parent / "element.log"
    with running(command, lambda _: listens(port), log) as process:
        yield StorageProcess(port, process.pid)


def new_id() -> FileId:
    return IDS.new(datetime.now(UTC), os.urandom(10))


def framed(content: bytes, **fields: object) -> bytes:
    head = json.dumps({**HEAD, **fields}).encode()
    return len(head).to_bytes(4) + head + content


@dataclass
class Uploader:
    """Uploads until the element is gone; remembers what was acknowledged."""

    session: aiohttp.ClientSession
    element: StorageProcess
    acknowledged: dict[FileId, str] = field(default_factory=dict)

    async def put(self, content: bytes, file_id: FileId | None = None) -> int:
        file_id = file_id or new_id()
        url = self.element.url(f"/files/{file_id}")
        async with self.session.put(url, data=io.BytesIO(framed(content)), headers=FRAME) as answer:
            await answer.read()
            if answer.status == 201:
                self.acknowledged[file_id] = hashlib.sha256(content).hexdigest()
            return answer.status

    async def run(self, size: int) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            while True:
                await self.put(os.urandom(size))

    async def check(self) -> None:
        """Everything acknowledged is there and equal."""
        for file_id, sha256 in self.acknowledged.items():
            async with self.session.get(self.element.url(f"/files/{file_id}/content")) as answer:
                assert answer.status == 200, f"{file_id} is lost"
                assert hashlib.sha256(await answer.read()).hexdigest() == sha256


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as opened:
        yield opened
    await asyncio.sleep(0)
