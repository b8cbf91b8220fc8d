"""What the admin module and PostgreSQL spend on one uploaded file, without anything else.

    python -m benchmarks.follower_cost [--files 20000] [--page 500] [--folder DIR]

A real PostgreSQL with the settings of `artstore up`, a real follower and a real sequencer; the
lines of the feed come from memory, `--page` of them at a time. CPU time, not the clock: what
else runs on the machine hardly disturbs it.
"""

import argparse
import base64
import contextlib
import gc
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import psutil
import psycopg
import uvloop
from tests.support.postgres import TestDatabase, postgres_server

from artstore.admin.repository import elements
from artstore.admin.repository.positions import Positions, connect
from artstore.admin.schema import migrate
from artstore.admin.services.audit.sequencer import LogIdentity, Sequencer
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.catalogue.element_client import ElementClient, Feed
from artstore.admin.services.catalogue.following import Following, Source
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import SystemClock
from artstore.core.database import Database
from artstore.core.logging import configure_logging
from artstore.core.model.element import ElementEntry, ElementInfo
from artstore.core.model.file import FileDraft, FileRecord, Origin, Uploader
from artstore.core.model.ids import FileIdSource
from artstore.core.secrets.chain import fixed_login
from artstore.core.tlog.folder import FolderStore
from artstore.core.web.server import GARBAGE_THRESHOLD
from artstore.storage.engine.record import (
    ChangePayload,
    Record,
    RecordType,
    encode_change,
    feed_line,
)

_ORIGIN_JSON = (
    Origin(
        token_id="01993e6e-1111-7000-8000-000000000001",
        address="127.0.0.1",
        services=("ingester/ingester-1",),
    )
    .model_dump_json()
    .encode()
    + b"\n"
)
ELEMENT = "bench-1"
FEED = "0" * 32
CLOCK = SystemClock()
_DRAFT = FileDraft(
    collection="bench",
    original_filename="report.pdf",
    content_type="application/pdf",
    declared_content_type="application/octet-stream",
    uploaded_by=Uploader(subject="account:sa_local", name="local", via="ingester/ingester-1"),
)


def lines_of(count: int) -> list[bytes]:
    """As an element tells of uploads."""
    ids = FileIdSource()
    lines = []
    for seq in range(1, count + 1):
        now = datetime.now(UTC)
        record = FileRecord.first(
            _DRAFT,
            file_id=ids.new(now, os.urandom(10)),
            size=4096,
            sha256=os.urandom(32).hex(),
            now=now,
        )
        payload = ChangePayload(
            int(now.timestamp() * 1e6), os.urandom(16), record.to_json(), b"", _ORIGIN_JSON
        )
        logged = Record(RecordType.CREATED, 0, seq, 0, b"".join(encode_change(payload)), 0, 0, 0)
        lines.append((feed_line(logged) or b"").rstrip())
    return lines


class Memory:
    """An element's feed."""

    def __init__(self, lines: list[bytes], page: int) -> None:
        self._lines = lines
        self._page = page

    async def info(self, _: str) -> ElementInfo:
        capacity = {"total": 1, "used": 0, "free": 1, "reserved": 0}
        return ElementInfo.model_validate(
            {
                "element_id": ELEMENT,
                "mode": "edit",
                "version": "0",
                "writable": True,
                "capacity": capacity,
                "feed_id": FEED,
                "head_seq": 0,
                "oldest_seq": 0,
            }
        )

    @contextlib.asynccontextmanager
    async def listing(self, *_: object) -> AsyncIterator[AsyncIterator[bytes]]:
        yield _each([])

    @contextlib.asynccontextmanager
    async def feed(self, _: str, after: int, *__: object) -> AsyncIterator[Feed]:
        page = self._lines[after : after + self._page]
        # Never at the head: nobody waits for company here.
        yield Feed(FEED, len(self._lines) + 1, after + len(page), _each(page))


async def _each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


class Costs:
    def __init__(self, server: int, names: Mapping[int, str], files: int) -> None:
        self._server = server
        self._names = names
        self._files = files
        self._before: dict[str, float] = {}

    def begin(self) -> None:
        self._before = self._spent()

    def show(self, what: str) -> None:
        spent = {
            name: (cpu_s - self._before.get(name, 0.0)) / self._files * 1e6
            for name, cpu_s in self._spent().items()
        }
        ours = spent.pop("admin")
        parts = ", ".join(f"{name} {us:.1f}" for name, us in spent.items() if us >= 0.5)
        total = sum(spent.values())
        print(f"{what:10} admin {ours:6.1f} us, PostgreSQL {total:6.1f} us ({parts})", flush=True)

    def _spent(self) -> dict[str, float]:
        spent = {"admin": time.process_time()}
        for process in psutil.Process(self._server).children():
            times = process.cpu_times()
            title = " ".join(process.cmdline()).removeprefix("postgres: ").strip()
            name = self._names.get(process.pid, title)
            spent[name] = spent.get(name, 0.0) + times.user + times.system
        return spent


async def run(database: TestDatabase, folder: Path, server: int, files: int, page: int) -> None:
    lines = lines_of(files)
    login = fixed_login(database.admin_password)
    pool = Database(database.admin_url, login, application_name="bench")
    async with pool.session() as session:
        await elements.add(session, ElementEntry(element_id=ELEMENT, url="http://127.0.0.1:1"))
    trail = Trail(CLOCK)
    async with (
        await connect(database.admin_url, login) as follower,
        await connect(database.admin_url, login) as writer,
    ):
        positions = Positions(follower, ELEMENT)
        client = cast("ElementClient", Memory(lines, page))
        following = Following(positions, Source(client, 0), CLOCK, trail)
        while (await positions.read()).state != "following":
            await following.step()
        seal = Seal(lambda: base64.urlsafe_b64encode(bytes(32)).decode())
        store = FolderStore.at(folder)
        sequencer = Sequencer(writer, store, LogIdentity("bench", seal), CLOCK, trail)
        await sequencer.open()
        names = {follower.info.backend_pid: "follower", writer.info.backend_pid: "sequencer"}
        costs = Costs(server, names, files)
        wal = await wal_bytes(follower)
        # As a service does.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        costs.begin()
        for _ in range(0, files, page):
            await following.step()
        costs.show("followed")
        costs.begin()
        while await sequencer.step():
            pass
        costs.show("logged")
        print(f"WAL: {(await wal_bytes(follower) - wal) / files:.0f} bytes a file")
    await pool.close()


async def wal_bytes(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> int:
    cursor = await connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    row = await cursor.fetchone()
    return int(str(row[0])) if row else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--page", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    # The fixture of the tests, used as the plain generator that it is underneath.
    server = contextlib.contextmanager(postgres_server.__wrapped__)  # type: ignore[attr-defined]
    with (
        log_to_nowhere(),
        TemporaryDirectory(dir=options.folder) as name,
        server() as started,
    ):
        database = started.database("bench")
        migrate(database.admin_url, fixed_login(database.admin_password))
        pid = server_pid(database)
        uvloop.run(run(database, Path(name), pid, options.files, options.page))


@contextlib.contextmanager
def log_to_nowhere() -> Iterator[None]:
    """Lines are made as a service makes them."""
    with Path(os.devnull).open("w") as nowhere:
        with contextlib.redirect_stdout(nowhere):
            configure_logging("admin", "bench", "info")
        yield
        # No more lines: whatever is said at the end of the process has no place to go.
        configure_logging("admin", "bench", "critical")


def server_pid(database: TestDatabase) -> int:
    with psycopg.connect(database.url) as connection:
        return psutil.Process(connection.info.backend_pid).ppid()


if __name__ == "__main__":
    main()
