"""Uploads through a real ingester to a real element, with a real clamd beside them."""

import gzip
import io
import os
import zipfile
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.ingester.conftest import Site
from tests.support.clamd import EICAR

from artstore.core.model.admission import OnUnscanned
from artstore.core.tls import server_name

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


def _creation(content: bytes) -> dict[str, str]:
    names = {"filename": "a.bin", "collection": "c", "filetype": "application/pdf"}
    pairs = [f"{name} {b64encode(value.encode()).decode()}" for name, value in names.items()]
    return {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(content)),
        "Upload-Metadata": ",".join(pairs),
        "Content-Type": "application/offset+octet-stream",
    }


async def _send_by_tus(site: Site, content: bytes) -> tuple[int, dict[str, Any] | None, str]:
    """Status and problem of the answer, and where the file is if it was made."""
    async with site.session.post(
        f"{site.ingester.url}/api/v1/uploads",
        data=io.BytesIO(content),
        headers={"Authorization": f"Bearer {site.issuer.token()}", **_creation(content)},
        server_hostname=server_name("ingester"),
    ) as response:
        problem = await response.json(content_type=None) if response.status >= 400 else None
        return response.status, problem, response.headers.get("Content-Location", "")


@pytest.mark.parametrize("content", [b"", PAD, LARGE + b"x", zipped(LARGE)])
async def test_what_comes_in_parts_is_looked_at_as_a_whole(site: Site, content: bytes) -> None:
    status, _, location = await _send_by_tus(site, content)

    record = site.record({"status": status, "file_id": location.rpartition("/")[2]})
    assert record["scan"]["verdict"] == "clean"
    assert record["declared_content_type"] == "application/pdf"
    if content.startswith(b"PK"):
        assert record["content_type"] == "application/zip"


@pytest.mark.parametrize("place", INFECTED)
async def test_an_infected_file_in_parts_leaves_nothing(site: Site, place: str) -> None:
    before = {path.name for path in site.root.rglob("*") if path.is_file()}
    status, problem, _ = await _send_by_tus(site, INFECTED[place])

    assert problem is not None
    assert (status, problem["code"]) == (422, "file_infected")
    after = {path.name for path in site.root.rglob("*") if path.is_file()}
    assert not {name for name in after - before if not name.endswith(".log")}


async def test_a_bomb_in_parts_is_refused_and_leaves_nothing(site: Site) -> None:
    before = site.stored()
    await site.rule(OnUnscanned.REFUSE)
    try:
        status, problem, _ = await _send_by_tus(site, BOMB)
    finally:
        await site.rule(None)

    assert problem is not None
    assert (status, problem["code"], problem["reason"]) == (422, "not_scannable", "archive_limits")
    assert site.stored() == before


async def test_what_comes_in_parts_keeps_to_the_rules_without_a_scanner(lonely: Site) -> None:
    await lonely.rule(OnUnscanned.REFUSE)
    status, problem, _ = await _send_by_tus(lonely, LARGE)
    assert problem is not None
    assert (status, problem["code"]) == (503, "scanner_unavailable")
    await lonely.rule(OnUnscanned.QUARANTINE)
    status, _, location = await _send_by_tus(lonely, LARGE)
    scan = lonely.record({"status": status, "file_id": location.rpartition("/")[2]})["scan"]
    assert (scan["verdict"], scan["quarantined"]) == ("unscanned", True)
    await lonely.rule(None)
