"""What an upload does: what reaches the element, and what the client is told."""

import asyncio
import hashlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from tests.integration.ingester.conftest import World
from tests.support.fake_element import Arrived
from tests.support.issuer import ISSUER
from tests.support.processes import wait_until

from artstore.core.audit.receipts import KeySet

LARGE = bytes(range(256)) * 1024  # 256 KiB, above what is held in memory


def only(world: World) -> Arrived:
    (arrived,) = [item for element in world.elements for item in element.arrived.values()]
    return arrived


@pytest.mark.parametrize("content", [b"", b"x", b"y" * 65536, b"z" * 65537, LARGE])
async def test_bytes_arrive_as_they_were_sent(world: World, content: bytes) -> None:
    status, body, response = await world.post({"filename": "a.txt"}, content)

    assert status == 201
    assert only(world).content == content
    assert body["size"] == len(content)
    assert body["sha256"] == hashlib.sha256(content).hexdigest()
    assert body["location"] == f"/api/v1/files/{body['file_id']}"
    assert response.headers["Location"] == body["location"]


async def test_a_body_of_unknown_length_is_taken(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 10_000):
            yield LARGE[start : start + 10_000]

    status, body, _ = await world.post({"filename": "a"}, chunks())

    assert (status, body["size"]) == (201, len(LARGE))
    arrived = only(world)
    assert arrived.content == LARGE
    assert arrived.draft.size is None
    assert arrived.framed_bytes is None


async def test_the_draft_says_what_the_sender_said(world: World) -> None:
    metadata = {"год": 2024, "big": 2**70, "nested": {"a": [1, None]}}
    params = [
        ("filename", "отчёт.pdf"),
        ("collection", "reports"),
        ("tag", "a"),
        ("tag", "б"),
        ("retention", "P10Y"),
        ("metadata", json.dumps(metadata)),
    ]
    status, body, _ = await world.post(
        urlencode(params), b"%PDF", {"Content-Type": "application/x-thing; charset=utf-8"}
    )

    assert status == 201
    draft = only(world).draft
    assert draft.origin is not None
    assert draft.origin.token_id
    assert draft.origin.address == "127.0.0.1"
    assert draft.origin.services == ("edge/edge-1", "ingester/ingester-1")
    assert draft.original_filename == body["original_filename"] == "отчёт.pdf"
    assert draft.collection == body["collection"] == "reports"
    assert draft.tags == ("a", "б")
    assert draft.metadata == metadata
    assert draft.size == 4
    assert draft.retention.mode == "compliance"
    assert draft.content_type == draft.declared_content_type == "application/x-thing; charset=utf-8"
    assert draft.uploaded_by.model_dump() == {
        "subject": "account-1",
        "name": "archivist",
        "via": "api",
    }


async def test_a_type_nobody_declared_is_guessed_from_the_name(world: World) -> None:
    reader, writer = await world.open()
    writer.write(world.head("/api/v1/files?filename=a.PDF", "Content-Length: 0"))
    assert b"201" in await reader.readline()
    writer.close()

    draft = only(world).draft
    assert (draft.content_type, draft.declared_content_type) == ("application/pdf", None)


@pytest.mark.parametrize("retention", ["none", "P1D"])
async def test_what_must_be_kept_goes_where_nothing_is_deleted(
    world: World, retention: str
) -> None:
    await world.post({"filename": "a", "retention": retention}, b"x")

    expected = world.edit if retention == "none" else world.rw
    assert len(expected.arrived) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "C:\\temp\\a.txt",
        "nul\x00byte",
        "ж" * 300,
        "\u200f\u202egpj.exe",
        " leading and trailing ",
        "a+b&c=d%20.txt",
        "новая\r\nстрока",
        ".",
        "😀.txt",
    ],
)
@pytest.mark.parametrize("content", [b"x", LARGE])
async def test_names_are_kept_exactly(world: World, name: str, content: bytes) -> None:
    status, body, _ = await world.post({"filename": name}, content)

    assert status == 201
    assert body["original_filename"] == name
    assert only(world).draft.original_filename == name


@pytest.mark.parametrize("header", ["Repr-Digest", "Content-Digest"])
@pytest.mark.parametrize("content", [b"x", LARGE])
async def test_a_declared_digest_goes_to_the_element(
    world: World, header: str, content: bytes
) -> None:
    digest = hashlib.sha256(content).digest()
    value = f"sha-512=:AAAA:, sha-256=:{b64encode(digest).decode()}:"

    status, _, _ = await world.post({"filename": "a"}, content, {header: value})

    assert status == 201
    assert only(world).draft.expected_sha256 == digest.hex()


def form(**fields: Any) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            data.add_field(name, item)
    return data


@pytest.mark.parametrize("content", [b"", b"x", b"\r\n--not a boundary\r\n", LARGE])
async def test_a_form_brings_fields_and_the_file(world: World, content: bytes) -> None:
    data = form(collection="reports", tag=["a", "б"], metadata='{"k": "v"}')
    data.add_field("file", content, filename='кавычка".pdf', content_type="application/x-thing")

    status, body, _ = await world.post("", data)

    assert (status, body["size"]) == (201, len(content))
    arrived = only(world)
    assert arrived.content == content
    assert arrived.draft.original_filename == 'кавычка".pdf'
    assert arrived.draft.tags == ("a", "б")
    assert arrived.draft.metadata == {"k": "v"}
    assert arrived.draft.collection == "reports"
    assert arrived.draft.content_type == "application/x-thing"


async def test_a_field_filename_goes_before_the_name_of_the_part(world: World) -> None:
    data = form(filename="x\\y%22.txt")
    data.add_field("file", b"x", filename="part.txt")

    status, body, _ = await world.post("", data)

    assert (status, body["original_filename"]) == (201, "x\\y%22.txt")


async def test_one_trace_crosses_the_hop_and_no_name_is_logged(world: World) -> None:
    trace = "1" * 32
    _, body, response = await world.post(
        {"filename": "secret-name.txt"}, b"x", {"traceparent": f"00-{trace}-{'2' * 16}-01"}
    )

    assert response.headers["X-Correlation-Id"] == trace

    def told() -> list[dict[str, Any]]:
        return [e for e in world.ingester.events() if e.get("file_id") == body["file_id"]]

    await asyncio.to_thread(wait_until, lambda: bool(told()), "the line of the request")
    (line,) = told()
    assert (line["event"], line["element"], line["size"]) == ("request", "edit-1", 1)
    assert line["trace_id"] == trace
    assert "secret-name" not in world.ingester.log.read_text()


async def test_uploads_are_counted(world: World) -> None:
    before = await metric(world, 'artstore_uploads_total{outcome="accepted"}')

    await world.post({"filename": "a"}, b"x")

    assert await metric(world, 'artstore_uploads_total{outcome="accepted"}') == before + 1
    assert await metric(world, "artstore_upload_size_bytes_count") >= 1
    assert await metric(world, "artstore_upload_duration_seconds_count") >= 1


async def metric(world: World, name: str) -> float:
    async with world.session.get(
        f"{world.ingester.url}/metrics", server_hostname="ingester.artstore.internal"
    ) as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))


async def test_the_answer_holds_a_receipt_that_the_published_key_verifies(world: World) -> None:
    status, body, _ = await world.post({"filename": "a.txt", "collection": "photos"}, b"hello")

    assert status == 201
    keys = KeySet({key.kid: key for key in world.issuer.receipt_keys})
    receipt = keys.verify(body["receipt"])
    assert (receipt.file_id, receipt.collection) == (body["file_id"], "photos")
    assert (receipt.size, receipt.sha256) == (5, body["sha256"])
    assert (receipt.deposited_at, receipt.account) == (body["uploaded_at"], "account-1")
    assert receipt.iss == ISSUER


async def test_receipts_are_signed_while_the_admin_module_is_away(world: World) -> None:
    world.issuer.away = True

    status, body, _ = await world.post({"filename": "a.txt"}, b"hello")

    assert status == 201
    keys = KeySet({key.kid: key for key in world.issuer.receipt_keys})
    assert keys.verify(body["receipt"]).file_id == body["file_id"]
