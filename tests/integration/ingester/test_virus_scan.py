"""Uploads through a real ingester to a real element, with a real clamd beside them."""

import asyncio
import contextlib
import gzip
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from tests.integration.ingester.conftest import eventually, started
from tests.support.clamd import EICAR, Clamd
from tests.support.issuer import ISSUER, Issuer
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki

from artstore.core.model.admission import Admission, AdmissionRules, CollectionRules, OnUnscanned
from artstore.core.model.element import ElementEntry
from artstore.core.tls import client_context, server_name

PAD = os.urandom(1000)
LARGE = os.urandom(200_000)
BOMB_BYTES = 50 << 20


def zipped(content: bytes, name: str = "a.bin", *, password: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, content)
    data = bytearray(out.getvalue())
    if password:
        # The flag of encryption, in the local header and in the directory.
        data[6] |= 1
        data[data.rfind(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


BOMB = zipped(bytes(BOMB_BYTES))
INFECTED = {
    "start": EICAR + PAD,
    "middle": PAD + EICAR + PAD,
    "end": PAD + EICAR,
    "large, start": EICAR + LARGE,
    "large, middle": LARGE + EICAR + LARGE,
    "large, end": LARGE + EICAR,
    "zip": zipped(EICAR),
    "zip in zip": zipped(zipped(EICAR), "a.zip"),
    "five deep": zipped(zipped(zipped(zipped(zipped(EICAR))))),
    "large zip": zipped(LARGE + EICAR),
    "gzip": gzip.compress(EICAR),
}


@dataclass
class Site:
    issuer: Issuer
    ingester: ModuleProcess
    root: Path
    session: aiohttp.ClientSession

    async def post(self, content: Any, collection: str = "c", **query: str) -> dict[str, Any]:
        """The answer, with its status."""
        query = {"filename": "a.bin", "collection": collection, **query}
        async with self.session.post(
            f"{self.ingester.url}/api/v1/files?{urlencode(query)}",
            data=content,
            headers={"Authorization": f"Bearer {self.issuer.token()}"},
            server_hostname=server_name("ingester"),
        ) as response:
            body: dict[str, Any] = await response.json(content_type=None)
            return {**body, "status": response.status}

    def record(self, answer: dict[str, Any]) -> dict[str, Any]:
        assert answer["status"] == 201, answer
        (found,) = self.root.rglob(f"{answer['file_id']}.attr.json")
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


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
async def site(pki: Pki, clamd: Clamd, element: Element) -> AsyncIterator[Site]:
    async with site_of(pki, element, clamd.address) as site:
        yield site


@pytest.fixture(scope="module")
async def lonely(pki: Pki, element: Element) -> AsyncIterator[Site]:
    """Its clamd is away."""
    async with site_of(pki, element, "unix:///nowhere/clamd") as site:
        yield site


@pytest.mark.parametrize("place", INFECTED)
async def test_an_infected_file_never_becomes_visible(site: Site, place: str) -> None:
    before = site.stored()
    for content in (INFECTED[place], _pieces(INFECTED[place])):
        answer = await site.post(content)
        assert (answer["status"], answer["code"]) == (422, "file_infected")
        assert "ArtStore.Test.Eicar" in answer["finding"]
    assert site.stored() == before


@pytest.mark.parametrize("content", [PAD, LARGE, zipped(LARGE), b""])
async def test_a_clean_file_says_so_in_its_record(site: Site, content: bytes) -> None:
    record = site.record(await site.post(content))

    scan = record["scan"]
    assert (scan["verdict"], scan["engine"]) == ("clean", "ClamAV 1.4.6/7"[: len(scan["engine"])])
    assert (scan["reason"], scan["quarantined"]) == (None, False)
    assert record["size"] == len(content)


UNSCANNABLE = {
    "archive_limits": BOMB,
    "encrypted": zipped(LARGE, password=True),
}


@pytest.mark.parametrize("reason", UNSCANNABLE)
@pytest.mark.parametrize("rule", list(OnUnscanned))
async def test_what_cannot_be_scanned_is_never_taken_for_clean(
    site: Site, reason: str, rule: OnUnscanned
) -> None:
    await site.rule(rule)
    try:
        answer = await site.post(UNSCANNABLE[reason])
    finally:
        await site.rule(None)

    if rule is OnUnscanned.REFUSE:
        assert (answer["status"], answer["code"]) == (422, "not_scannable")
        assert answer["reason"] == reason
        return
    scan = site.record(answer)["scan"]
    assert (scan["verdict"], scan["reason"]) == ("unscanned", reason)
    assert scan["quarantined"] is (rule is OnUnscanned.QUARANTINE)


@pytest.mark.parametrize("content", [PAD, LARGE])
async def test_a_scanner_that_is_away_is_what_the_rule_says(lonely: Site, content: bytes) -> None:
    for rule in OnUnscanned:
        await lonely.rule(rule)
        answer = await lonely.post(content)
        if rule is OnUnscanned.REFUSE:
            assert (answer["status"], answer["code"]) == (503, "scanner_unavailable")
            continue
        scan = lonely.record(answer)["scan"]
        assert (scan["verdict"], scan["reason"]) == ("unscanned", "scanner_away")
        assert scan["quarantined"] is (rule is OnUnscanned.QUARANTINE)
    await lonely.rule(None)
    assert lonely.record(await lonely.post(content))["scan"]["verdict"] == "unscanned"


async def test_the_metrics_tell_of_the_scanner(site: Site, lonely: Site) -> None:
    async def metrics(site: Site) -> str:
        url = f"{site.ingester.url}/metrics"
        async with site.session.get(url, server_hostname=server_name("ingester")) as response:
            return await response.text()

    seen = await metrics(site)
    assert "artstore_antivirus_up 1.0" in seen
    assert 'artstore_scans_total{reason="",verdict="infected"}' in seen
    assert 'artstore_scans_total{reason="archive_limits",verdict="unscanned"}' in seen
    assert "artstore_antivirus_up 0.0" in await metrics(lonely)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 60_000):
        yield content[start : start + 60_000]
