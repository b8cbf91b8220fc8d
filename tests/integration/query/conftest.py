"""A real query process on a real PostgreSQL, and elements that fail on command."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from sqlalchemy import Engine, create_engine, delete, insert, make_url, update
from tests.support.catalogue_rows import insert_records
from tests.support.fake_shelf import FakeShelf, Fault
from tests.support.issuer import ISSUER, Issuer
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.postgres import TestDatabase
from yarl import URL

from artstore.admin.schema import migrate
from artstore.core.catalogue import elements, files
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId, FileIdSource
from artstore.core.secrets.chain import fixed_login
from artstore.core.tls import client_context, server_name


@dataclass
class World:
    issuer: Issuer
    shelf: FakeShelf
    other: FakeShelf
    engine: Engine
    query: ModuleProcess
    session: aiohttp.ClientSession
    headers: dict[str, str]
    ids: FileIdSource
    database_settings: dict[str, object]

    def new_id(self, age_s: float = 3600) -> FileId:
        return self.ids.new(datetime.now(UTC) - timedelta(seconds=age_s), os.urandom(10))

    def old_id(self, age_s: float = 3600) -> FileId:
        """Not in order with others: for ids that lie between those already made."""
        return FileIdSource().new(datetime.now(UTC) - timedelta(seconds=age_s), os.urandom(10))

    def store(self, content: bytes = b"x", *, state: str = "present", **fields: Any) -> FileRecord:
        """A file on `shelf` that the catalogue knows."""
        record = self.shelf.put(self.new_id(), content, **fields)
        self.know(record, state=state)
        return record

    def know(self, *records: FileRecord, state: str = "present") -> None:
        with self.engine.begin() as connection:
            insert_records(connection, records, element_id=self.shelf.element_id, state=state)

    def know_complete(self, shelf: FakeShelf, age_s: int | None) -> None:
        """The catalogue holds all that `shelf` stored more than `age_s` seconds ago."""
        moment = None if age_s is None else datetime.now(UTC) - timedelta(seconds=age_s)
        statement = update(elements).where(elements.c.element_id == shelf.element_id)
        with self.engine.begin() as connection:
            connection.execute(statement.values(complete_until=moment))

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self.session.request(
            method,
            URL(self.query.url + path, encoded=True),
            headers={**self.headers, **(headers or {})},
            server_hostname=server_name("query"),
            **more,
        ) as response:
            yield response

    async def get(
        self, path: str, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, aiohttp.ClientResponse]:
        async with self.request("GET", path, headers) as response:
            return response.status, await response.read(), response

    async def search(self, *params: tuple[str, str], path: str = "search") -> dict[str, Any]:
        async with self.request("GET", f"/api/v1/{path}?{urlencode(params)}") as response:
            body: dict[str, Any] = await response.json(content_type=None)
            return body | {"http_status": response.status}


@pytest.fixture(scope="session")
async def shared_world(
    pki: Pki, make_database: Callable[[str], TestDatabase]
) -> AsyncIterator[World]:
    database = await asyncio.to_thread(make_database, "query_tests")
    await asyncio.to_thread(migrate, database.admin_url, fixed_login(database.admin_password))
    engine = create_engine(make_url(database.admin_url).set(password=database.admin_password))
    async with (
        Issuer(pki) as issuer,
        FakeShelf(pki, "edit-1") as shelf,
        FakeShelf(pki, "edit-2") as other,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=client_context(pki.files("edge")), limit=0)
        ) as session,
    ):
        with engine.begin() as connection:
            entries = [{**item.entry.model_dump(), "state": "new"} for item in (shelf, other)]
            connection.execute(insert(elements), entries)
        database_settings: dict[str, object] = {
            "DATABASE_URL": database.query_url,
            "DATABASE_PASSWORD_FILE": database.query_password_file,
        }
        settings = {
            "ADMIN_URL": issuer.url,
            "ISSUER": ISSUER,
            **database_settings,
            "DOWNLOAD_IDLE_TIMEOUT_S": 3.0,
        }
        process = contextlib.ExitStack()
        try:
            query = await asyncio.to_thread(
                process.enter_context, module_process("query", pki, settings)
            )
            headers = {"Authorization": f"Bearer {issuer.token(['files:read'])}"}
            ids = FileIdSource()
            yield World(
                issuer, shelf, other, engine, query, session, headers, ids, database_settings
            )
        finally:
            await asyncio.to_thread(process.close)
            engine.dispose()


@pytest.fixture
async def world(shared_world: World) -> World:
    for shelf in (shared_world.shelf, shared_world.other):
        shelf.files.clear()
        shelf.requests.clear()
        shelf.fault = Fault.NONE
        shelf.left = shelf.sent_bytes = 0
    with shared_world.engine.begin() as connection:
        connection.execute(delete(files))
    return shared_world
