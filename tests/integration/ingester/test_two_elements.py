"""Two elements of the same mode and two ingesters, all real: one element hangs, and comes back."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import psutil
import pytest
from tests.integration.ingester.conftest import Element, Site, started
from tests.support.issuer import ISSUER, Issuer
from tests.support.module_process import module_process
from tests.support.pki import Pki
from tests.support.processes import Limit, wait_until

from artstore.core.model.element import ElementEntry
from artstore.core.tls import client_context

LARGE = 300_000


@dataclass
class Pair:
    first: Element
    second: Element
    sites: tuple[Site, Site]
    """The same elements behind two ingesters."""

    def holders(self, file_id: str) -> list[Element]:
        """One at least: it comes to its place in a moment."""
        wait_until(lambda: bool(self._holders(file_id)), f"{file_id} coming to its place")
        return self._holders(file_id)

    def _holders(self, file_id: str) -> list[Element]:
        return [
            element
            for element in (self.first, self.second)
            for _ in element.root.rglob(f"{file_id}.attr.json")
        ]


@pytest.fixture
async def pair(pki: Pki, element: Element, tmp_path: Path) -> AsyncIterator[Pair]:
    settings: dict[str, object] = {"ELEMENT_ID": "edit-2", "ROOT": tmp_path / "second"}
    async with contextlib.AsyncExitStack() as stack:
        process = await asyncio.to_thread(
            stack.enter_context, module_process("storage", pki, settings, "edit-2")
        )
        second = Element(tmp_path / "second", process)
        issuer = await stack.enter_async_context(Issuer(pki))
        issuer.elements = [
            ElementEntry(element_id="edit-1", url=element.process.url, priority=1),
            ElementEntry(element_id="edit-2", url=second.process.url, priority=2),
        ]
        settings = {
            "ADMIN_URL": issuer.url,
            "ISSUER": ISSUER,
            "ELEMENT_TIMEOUT_S": 1.5,
            "REGISTRY_REFRESH_S": 0.1,
            "ELEMENT_REFRESH_S": 0.2,
        }
        connector = aiohttp.TCPConnector(ssl=client_context(pki.files("edge")))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        ingesters = [await stack.enter_async_context(started(pki, settings)) for _ in range(2)]
        site = Site(issuer, ingesters[0], element.root, session)
        pair = Pair(element, second, (site, replace(site, ingester=ingesters[1])))
        for each in pair.sites:
            await until_stored_by(pair, each, element)
        yield pair


async def until_stored_by(pair: Pair, site: Site, element: Element) -> None:
    limit = Limit("the element taking a file", 60)
    while True:
        answer = await site.post(os.urandom(10))
        if answer["status"] == 201 and pair.holders(answer["file_id"]) == [element]:
            return
        limit.check()
        await asyncio.sleep(0.02)


async def test_an_element_that_hangs_is_passed_over_by_both_and_taken_up_again(pair: Pair) -> None:
    hanging = psutil.Process(pair.first.process.pid)
    hanging.suspend()
    try:
        # Of a large file nothing was sent yet; of a small one nobody can tell, so it may be 503.
        answers = await asyncio.gather(*(site.post(os.urandom(LARGE)) for site in pair.sites))
        assert [pair.holders(answer["file_id"]) for answer in answers] == [[pair.second]] * 2
        stored = []
        for number in range(40):
            answer = await pair.sites[number % 2].post(os.urandom(100))
            assert answer["status"] == 201, answer
            stored.append(answer["file_id"])
    finally:
        hanging.resume()

    for site in pair.sites:
        await until_stored_by(pair, site, pair.first)
    assert {tuple(e.root for e in pair.holders(file_id)) for file_id in stored} == {
        (pair.second.root,)
    }
