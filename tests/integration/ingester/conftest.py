"""A real ingester process between a client and elements that fail on command."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from tests.support.clamd import Clamd
from tests.support.fake_element import FakeElement
from tests.support.issuer import ISSUER, Issuer
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.places import in_place
from tests.support.processes import eventually
from yarl import URL

from artstore.core.model.admission import Admission, AdmissionRules, CollectionRules, OnUnscanned
from artstore.core.model.element import ElementEntry
from artstore.core.tls import client_context, server_name


@dataclass
class World:
    issuer: Issuer
    edit: FakeElement
    spare: FakeElement
    rw: FakeElement
    ingester: ModuleProcess
    session: aiohttp.ClientSession
    tls: ssl.SSLContext
    settings: dict[str, object]
    headers: dict[str, str] = field(default_factory=dict)

    async def post(
        self, params: dict[str, str] | str, data: Any = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], aiohttp.ClientResponse]:
        query = params if isinstance(params, str) else urlencode(params)
        async with self.session.post(
            URL(f"{self.ingester.url}/api/v1/files?{query}", encoded=True),
            data=data,
            headers={**self.headers, **(headers or {})},
            server_hostname=server_name("ingester"),
        ) as response:
            return response.status, await response.json(content_type=None), response

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection, for clients that break the rules."""
        return await asyncio.open_connection(
            "127.0.0.1",
            self.ingester.port,
            ssl=self.tls,
            server_hostname=server_name("ingester"),
        )

    def head(self, path: str, *lines: str) -> bytes:
        token = self.headers["Authorization"]
        head = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: {token}", *lines, "", ""]
        return "\r\n".join(head).encode()

    @property
    def elements(self) -> tuple[FakeElement, ...]:
        return (self.edit, self.spare, self.rw)

    async def settled(self) -> None:
        """The ingester knows the present state of the elements.

        It asks each in a loop: when it asks again it has noted the answer before.
        """
        for element in self.elements:
            element.requests["info"] = 0
        await eventually(lambda: all(e.requests["info"] >= 2 for e in self.elements))

    def reset(self) -> None:
        for element in self.elements:
            element.faults.clear()
            element.arrived.clear()
            element.requests.clear()
            element.aborted = 0
            element.failure = None
            element.keep_content = True
            element.available_bytes = 1 << 50
            element.writable = True
        self.issuer.away = False


@pytest.fixture(scope="session")
async def shared_world(pki: Pki) -> AsyncIterator[World]:
    async with (
        Issuer(pki) as issuer,
        FakeElement(pki, "edit-1", priority=1) as edit,
        FakeElement(pki, "edit-2", priority=2) as spare,
        FakeElement(pki, "rw-1", mode="rw") as rw,
    ):
        issuer.elements = [element.entry for element in (edit, spare, rw)]
        settings: dict[str, object] = {
            "ADMIN_URL": issuer.url,
            "ISSUER": ISSUER,
            "UPLOAD_BYTES_MAX": 1 << 31,
            "BODY_IDLE_TIMEOUT_S": 2.0,
            "ELEMENT_TIMEOUT_S": 1.5,
            "REGISTRY_REFRESH_S": 0.1,
            "ELEMENT_REFRESH_S": 0.05,
        }
        tls = client_context(pki.files("edge"))
        connector = aiohttp.TCPConnector(ssl=tls, limit=0)
        async with (
            started(pki, settings) as ingester,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            headers = {"Authorization": f"Bearer {issuer.token()}"}
            yield World(issuer, edit, spare, rw, ingester, session, tls, settings, headers)


@contextlib.asynccontextmanager
async def started(pki: Pki, settings: Mapping[str, object]) -> AsyncIterator[ModuleProcess]:
    """In a thread: the process asks our elements while it starts, so this loop must not block."""
    process = contextlib.ExitStack()
    try:
        yield await asyncio.to_thread(
            process.enter_context, module_process("ingester", pki, settings)
        )
    finally:
        await asyncio.to_thread(process.close)


@pytest.fixture
async def small(pki: Pki, world: World) -> AsyncIterator[World]:
    """Another ingester on the same elements, that takes 100,000 bytes at most."""
    settings = world.settings | {"UPLOAD_BYTES_MAX": 100_000}
    async with started(pki, settings) as ingester:
        small = replace(world, ingester=ingester)
        await small.settled()
        yield small


@pytest.fixture
async def world(shared_world: World) -> World:
    shared_world.reset()
    # Whatever failed in the last test has rested, and is the first again.
    while not shared_world.edit.arrived:
        assert (await shared_world.post({"filename": "ready?"}))[0] in (201, 503)
    shared_world.reset()
    await shared_world.settled()
    return shared_world


@dataclass
class Site:
    issuer: Issuer
    ingester: ModuleProcess
    root: Path
    session: aiohttp.ClientSession
    subject: str = "account-1"

    async def post(
        self,
        content: Any,
        collection: str = "c",
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> dict[str, Any]:
        """The answer, with its status."""
        query = {"filename": "a.bin", "collection": collection, **query}
        async with self.session.post(
            f"{self.ingester.url}/api/v1/files?{urlencode(query)}",
            data=content,
            headers={
                "Authorization": f"Bearer {self.issuer.token(sub=self.subject)}",
                **(headers or {}),
            },
            server_hostname=server_name("ingester"),
        ) as response:
            body: dict[str, Any] = await response.json(content_type=None)
            return {**body, "status": response.status}

    def record(self, answer: dict[str, Any]) -> dict[str, Any]:
        assert answer["status"] == 201, answer
        found = in_place(self.root / "data", answer["file_id"])
        record: dict[str, Any] = json.loads(found.read_text())
        return record

    def stored(self) -> set[str]:
        return {path.name for path in (self.root / "data").rglob("*.attr.json")}

    async def rule(self, unscanned: OnUnscanned | None) -> None:
        rules = CollectionRules(collection="c", admission=Admission(unscanned=unscanned))
        self.issuer.rules = AdmissionRules(collections=(rules,))
        self.issuer.rules_read = 0
        await eventually(lambda: self.issuer.rules_read >= 3)


@dataclass
class Element:
    root: Path
    process: ModuleProcess


@pytest.fixture(scope="session")
def element(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Element]:
    root = tmp_path_factory.mktemp("scanned") / "element"
    settings = {"ELEMENT_ID": "edit-1", "ROOT": root}
    with module_process("storage", pki, settings, "edit-1") as process:
        yield Element(root, process)


@contextlib.asynccontextmanager
async def site_of(pki: Pki, element: Element, address: str) -> AsyncIterator[Site]:
    connector = aiohttp.TCPConnector(ssl=client_context(pki.files("edge")))
    async with Issuer(pki) as issuer, aiohttp.ClientSession(connector=connector) as session:
        issuer.elements = [ElementEntry(element_id="edit-1", url=element.process.url, priority=1)]
        settings = {
            "ADMIN_URL": issuer.url,
            "ISSUER": ISSUER,
            "REGISTRY_REFRESH_S": 0.1,
            "ANTIVIRUS_ADDRESS": address,
        }
        async with started(pki, settings) as ingester:
            site = Site(issuer, ingester, element.root, session)
            while (await site.post(b"ready?", "other"))["status"] != 201:
                await asyncio.sleep(0.05)
            yield site


@pytest.fixture(scope="session")
async def site(pki: Pki, clamd: Clamd, element: Element) -> AsyncIterator[Site]:
    async with site_of(pki, element, clamd.address) as site:
        yield site


@pytest.fixture(scope="session")
async def lonely(pki: Pki, element: Element) -> AsyncIterator[Site]:
    """Its clamd is away."""
    async with site_of(pki, element, "unix:///nowhere/clamd") as site:
        yield site
