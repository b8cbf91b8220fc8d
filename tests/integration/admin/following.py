"""Followers inside the test's own process, against a real PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from tests.support.pki import Pki
from tests.support.postgres import TestDatabase
from tests.support.processes import Limit

from artstore.admin.jobs.followers import Followers
from artstore.admin.repository import elements
from artstore.admin.repository.positions import connect, registered
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.catalogue.following import Source
from artstore.core.clock import SystemClock
from artstore.core.database import Database
from artstore.core.http import Transport
from artstore.core.model.element import ElementEntry
from artstore.core.secrets.chain import fixed_login

LIMIT_S = 20.0


@dataclass
class CatalogueUnderTest:
    database: TestDatabase
    pool: Database
    client: ElementClient

    async def register(self, *entries: ElementEntry) -> None:
        async with self.pool.session() as session:
            for entry in entries:
                await elements.add(session, entry)

    @contextlib.asynccontextmanager
    async def following(self, wait_s: int = 1) -> AsyncIterator[asyncio.Task[None]]:
        followers = Followers(
            lambda: registered(self.pool),
            lambda: connect(self.database.admin_url, fixed_login(self.database.admin_password)),
            Source(self.client, wait_s),
            SystemClock(),
            Trail(SystemClock()),
        )
        task = asyncio.create_task(followers.run())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        async with await psycopg.AsyncConnection.connect(
            self.database.url, row_factory=dict_row, autocommit=True
        ) as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    async def states(self) -> dict[str, str]:
        rows = await self.query("SELECT file_id::text, state FROM catalogue.files")
        return {row["file_id"]: row["state"] for row in rows}

    async def rows(self) -> list[dict[str, Any]]:
        """Everything that must be the same after a rebuild."""
        statement = (
            "SELECT to_jsonb(f) - 'generation' AS facts FROM catalogue.files f ORDER BY file_id"
        )
        return await self.query(statement)

    async def element(self, element_id: str = "edit-1") -> dict[str, Any]:
        statement = "SELECT * FROM catalogue.elements WHERE element_id = %s"
        return (await self.query(statement, element_id))[0]


async def eventually(
    condition: Callable[[], Awaitable[bool]], what: str, limit_s: float = LIMIT_S
) -> None:
    limit = Limit(what, limit_s)
    while not await condition():
        limit.check()
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def catalogue_in(database: TestDatabase, pki: Pki) -> AsyncIterator[CatalogueUnderTest]:
    pool = Database(
        database.admin_url, fixed_login(database.admin_password), application_name="test"
    )
    transport = Transport(pki.files("admin"))
    try:
        yield CatalogueUnderTest(database, pool, ElementClient(transport))
    finally:
        await transport.close()
        await pool.close()
