"""How fast the audit log answers questions: pages of events, a file's timeline, one event.

    python -m benchmarks.audit_query [--events 1000000] [--plans]

Fills `audit.events` of a PostgreSQL of its own, with the settings of `artstore up`, and asks as
the routes do. `--plans` prints how PostgreSQL answers each question. No question may read the
table from end to end: that is an error here.
"""

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from sqlalchemy import event as sqlalchemy_event
from tests.support.postgres import TestDatabase

from artstore.admin.repository import audit_events
from artstore.admin.repository.audit_events import EventFilter, EventRow
from artstore.core.database import Database
from artstore.core.model.ids import FileIdSource
from artstore.core.secrets.chain import fixed_login
from benchmarks.catalogue_merge import database as temporary_database

START = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(milliseconds=300)
IDS = FileIdSource()
KINDS = ["file.uploaded"] * 70 + ["file.downloaded"] * 25 + ["authentication.token_issued"] * 4
RARE = "file.deleted"
ENTRY = b"e" * 900
FACTS = b"f" * 300
RUNS = 20
PAGE = 100


def rows(number: int) -> Iterator[EventRow]:
    chance = random.Random(1)
    files = [UUID(IDS.new(START, os.urandom(10))) for _ in range(max(1, number // 4))]
    for index in range(number):
        at = START + index * EVERY
        kind = RARE if index % 50_000 == 7 else chance.choice(KINDS)
        is_file = kind.startswith("file.")
        person = chance.random() < 0.3
        yield EventRow(
            event_id=UUID(IDS.new(at, os.urandom(10))),
            at=at,
            kind=kind,
            outcome="refused" if chance.random() < 0.002 else "succeeded",
            person=f"person-{int(chance.paretovariate(0.5)) % 1000}" if person else None,
            account=None if person else f"account-{int(chance.paretovariate(0.5)) % 300}",
            file_id=chance.choice(files) if is_file else None,
            collection=chance.choice(("default", "hr", "legal")) if is_file else None,
            element_id=chance.choice(("rw-1", "edit-1")) if is_file else None,
            entry=ENTRY,
            facts=FACTS,
        )


def fill(database: TestDatabase, number: int) -> float:
    started = time.perf_counter()
    columns = ", ".join(("log_index", *EventRow._fields))
    with psycopg.connect(database.url) as connection:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY audit.events ({columns}) FROM STDIN") as copy,
        ):
            for index, row in enumerate(rows(number)):
                copy.write_row((index, *row))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE audit.events")
    return time.perf_counter() - started


def questions(number: int, file_id: UUID) -> dict[str, EventFilter]:
    middle = START + number // 2 * EVERY
    return {
        "newest": EventFilter(),
        "in a day": EventFilter(since=middle, until=middle + timedelta(days=1)),
        "frequent kind": EventFilter(kind="file.uploaded"),
        "rare kind": EventFilter(kind=RARE),
        "refused": EventFilter(outcome="refused"),
        "busy person": EventFilter(person="person-1"),
        "quiet person": EventFilter(person="person-999"),
        "quiet account, before": EventFilter(account="account-299", until=middle),
        "file": EventFilter(file_id=file_id),
        "collection": EventFilter(collection="legal"),
        "unknown collection": EventFilter(collection="none"),
        "unknown element": EventFilter(element_id="none"),
        "person and kind": EventFilter(person="person-3", kind="file.downloaded"),
    }


async def measure(name: str, ask: Callable[[], Awaitable[object]]) -> None:
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - started) * 1000)
    print(f"{name:32} p50 {statistics.median(taken):8.2f} ms   max {max(taken):8.2f} ms")


class Plans:
    """Explains each statement on the way."""

    def __init__(self, database: TestDatabase, *, shown: bool) -> None:
        self._database = database
        self._shown = shown

    def watch(self, pool: Database) -> None:
        @sqlalchemy_event.listens_for(pool.engine.sync_engine, "before_cursor_execute")
        def _explain(_c: object, _cur: object, sql: str, values: object, *_: object) -> None:
            if sql.startswith("SELECT audit"):
                self._explain(sql, values)

    def _explain(self, sql: str, values: object) -> None:
        with psycopg.connect(self._database.url) as connection:
            plan = connection.execute(f"EXPLAIN {sql}", values).fetchall()  # type: ignore[arg-type,call-overload]
        text = "\n".join(line for (line,) in plan)
        if self._shown:
            print(text)
        if "Seq Scan" in text:
            raise SystemExit(f"reads the whole table:\n{sql}\n{text}")


async def ask_all(database: TestDatabase, number: int, *, plans: bool) -> None:
    pool = Database(
        database.admin_url, fixed_login(database.admin_password), application_name="benchmark"
    )
    with psycopg.connect(database.url) as connection:
        row = connection.execute(
            "SELECT file_id FROM audit.events WHERE file_id IS NOT NULL LIMIT 1"
        ).fetchone()
    assert row is not None
    after = (START + number // 2 * EVERY, number // 2)
    asked = questions(number, row[0])

    async def page(wanted: EventFilter, cursor: tuple[datetime, int] | None = None) -> None:
        async with pool.session() as session:
            await audit_events.page(session, wanted, cursor, PAGE)

    async def history() -> None:
        async with pool.session() as session:
            await audit_events.history(session, row[0], limit=1000)

    async def single() -> None:
        async with pool.session() as session:
            await audit_events.by_index(session, number // 3)

    Plans(database, shown=plans).watch(explaining := _pool(database))
    for wanted in asked.values():
        async with explaining.session() as session:
            await audit_events.page(session, wanted, None, PAGE)
            await audit_events.page(session, wanted, after, PAGE)
    await explaining.close()
    for name, wanted in asked.items():
        await measure(name, lambda wanted=wanted: page(wanted))  # type: ignore[misc]
        await measure(f"{name}, in the middle", lambda wanted=wanted: page(wanted, after))  # type: ignore[misc]
    await measure("timeline of a file", history)
    await measure("one event", single)
    await pool.close()


def _pool(database: TestDatabase) -> Database:
    return Database(
        database.admin_url, fixed_login(database.admin_password), application_name="plans"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--plans", action="store_true")
    options = parser.parse_args()
    with temporary_database() as database:
        print(f"{options.events} events filled in {fill(database, options.events):.0f} s")
        asyncio.run(ask_all(database, options.events, plans=options.plans))


if __name__ == "__main__":
    main()
