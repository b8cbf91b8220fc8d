"""How many rows per second the catalogue takes: merge alone, and listed over mutual TLS.

    python -m benchmarks.catalogue_merge [--files 40000] [--batch 500]

Starts a PostgreSQL of its own in a temporary folder, with the settings of `artstore up`. The
second figure is a whole follower: HTTP, parsing, search words, merge, position.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from tests.support.issuer import listening
from tests.support.pki import Pki
from tests.support.postgres import TestDatabase, postgres_server

from artstore.admin.jobs.followers import Followers
from artstore.admin.model import StorageElement
from artstore.admin.repository import catalogue_files, elements
from artstore.admin.repository.positions import connect
from artstore.admin.schema import migrate
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.catalogue.following import Source
from artstore.admin.services.catalogue.rows import row_of, write_rows
from artstore.core.clock import SystemClock
from artstore.core.database import Database
from artstore.core.http import Transport
from artstore.core.model.element import ElementEntry
from artstore.core.model.file import Digest, FileRecord, Uploader
from artstore.core.model.ids import FileIdSource
from artstore.core.secrets.chain import fixed_login

WORDS = [
    *("договор", "отчёт", "акт", "письмо", "счёт", "приложение", "протокол", "копия", "смета"),
    *("invoice", "report", "letter", "budget", "minutes", "scan", "draft", "final", "archive"),
]
IDS = FileIdSource()


def make_record(number: int) -> FileRecord:
    chance = random.Random(number)
    now = datetime.now(UTC)
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return FileRecord(
        file_id=IDS.new(now, os.urandom(10)),
        collection=chance.choice(["default", "hr", "legal"]),
        original_filename=f"{chance.choice(WORDS)} {chance.choice(WORDS)} {number}.pdf",
        size=chance.randrange(1 << 20),
        content_type="application/pdf",
        digests=(Digest(alg="sha256", value=sha256, computed_at=now),),
        uploaded_at=now,
        uploaded_by=Uploader(subject="account:1", name="cli", via="ingester-1"),
        revision=1,
        tags=tuple(chance.sample(WORDS, 3)),
        metadata={"contract": f"K-{number}", "note": " ".join(chance.sample(WORDS, 6))},
    )


async def merge_alone(database: TestDatabase, records: list[FileRecord], batch: int) -> None:
    rows = [row_of(record, "bench", 1) for record in records]
    connection = await connect(database.admin_url, fixed_login(database.admin_password))
    started = time.perf_counter()
    for first in range(0, len(rows), batch):
        async with connection.transaction():
            await write_rows(connection, rows[first : first + batch])
    show(f"merge alone, batches of {batch}", len(rows), time.perf_counter() - started)
    await connection.execute("TRUNCATE catalogue.files")
    await connection.close()


@contextlib.asynccontextmanager
async def element(pki: Pki, records: list[FileRecord]) -> AsyncIterator[str]:
    """Answers a listing from memory: what is measured is the follower."""
    ids: list[str] = [record.file_id for record in records]
    lines = [record.to_json() for record in records]

    async def info(_: web.Request) -> web.Response:
        capacity = {"total": 1, "used": 0, "free": 1, "reserved": 0}
        return web.json_response(
            {
                "element_id": "bench",
                "mode": "edit",
                "version": "0",
                "writable": True,
                "capacity": capacity,
                "feed_id": "bench",
                "head_seq": 0,
                "oldest_seq": 0,
            }
        )

    async def listing(request: web.Request) -> web.Response:
        after = request.query.get("after")
        first = ids.index(after) + 1 if after else 0
        return web.Response(body=b"".join(lines[first : first + int(request.query["limit"])]))

    async def feed(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query["wait"]))
        return web.Response(headers={"X-ArtStore-Feed-Id": "bench", "X-ArtStore-Head-Seq": "0"})

    app = web.Application()
    app.router.add_get("/api/v1/info", info)
    app.router.add_get("/api/v1/files", listing)
    app.router.add_get("/api/v1/changes", feed)
    async with listening(app, pki, "storage") as url:
        yield url


async def whole_follower(database: TestDatabase, pki: Pki, records: list[FileRecord]) -> None:
    pool = Database(
        database.admin_url, fixed_login(database.admin_password), application_name="bench"
    )
    transport = Transport(pki.files("admin"))

    async def registry() -> list[StorageElement]:
        async with pool.session() as session:
            return await elements.every(session)

    async def listed() -> bool:
        return (await registry())[0].state == "following"

    followers = Followers(
        registry,
        lambda: connect(database.admin_url, fixed_login(database.admin_password)),
        Source(ElementClient(transport), 1),
        SystemClock(),
        Trail(SystemClock()),
    )
    async with element(pki, records) as url:
        async with pool.session() as session:
            await elements.add(session, ElementEntry(element_id="bench", url=url))
        started = time.perf_counter()
        task = asyncio.create_task(followers.run())
        while not await listed():
            await asyncio.sleep(0.05)
        show("listed by a follower", len(records), time.perf_counter() - started)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await transport.close()
    await pool.close()


def show(what: str, rows: int, elapsed_s: float) -> None:
    print(f"{what}: {rows / elapsed_s:.0f} rows/s ({rows} rows in {elapsed_s:.2f} s)")


@contextlib.contextmanager
def database() -> Iterator[TestDatabase]:
    # The fixture of the tests, used as the plain generator that it is underneath.
    start = postgres_server.__wrapped__  # type: ignore[attr-defined]
    with contextlib.contextmanager(start)() as server:
        made = server.database("bench")
        migrate(made.admin_url, fixed_login(made.admin_password))
        yield made


async def measure(made: TestDatabase, files: int, batch: int) -> None:
    records = [make_record(number) for number in range(files)]
    print(f"indexes: all of the schema; columns of a row: {len(catalogue_files.FileRow._fields)}")
    await merge_alone(made, records, batch)
    with tempfile.TemporaryDirectory() as folder:
        await whole_follower(made, Pki(Path(folder)), records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=500)
    arguments = parser.parse_args()
    with database() as made:
        asyncio.run(measure(made, arguments.files, arguments.batch))


if __name__ == "__main__":
    main()
