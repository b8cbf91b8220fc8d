"""What a collection's rules do to uploads, in a real ingester: size, type, quota."""

import asyncio
import contextlib
import hashlib
import io
import zipfile
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.ingester.conftest import Site, World
from tests.integration.ingester.test_uploads import only
from tests.support.processes import eventually

from artstore.core.model.admission import (
    Admission,
    AdmissionRules,
    CollectionRules,
    OnMismatch,
    Usage,
)

EXE = b"MZ\x90\x00" + bytes(60)
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@contextlib.asynccontextmanager
async def ruled(world: World, admission: Admission, used: int = 0) -> AsyncIterator[None]:
    """The collection `c` has these rules, and the ingester knows it."""
    usage = Usage(used_bytes=used, used_files=used, counted_at=datetime.now(UTC))
    rules = CollectionRules(collection="c", admission=admission, usage=usage)
    await _put(world, AdmissionRules(collections=(rules,)))
    try:
        yield
    finally:
        await _put(world, AdmissionRules())


async def _put(world: World, rules: AdmissionRules) -> None:
    world.issuer.rules = rules
    world.issuer.rules_read = 0
    # The first answer may have been on its way; before it asks again it has noted the second.
    await eventually(lambda: world.issuer.rules_read >= 3)


def big(beginning: bytes, end: bytes = b"") -> bytes:
    return beginning + bytes(200_000) + end


def docx(size: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", bytes(size))
    return out.getvalue()


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]
        await asyncio.sleep(0)


def nothing_kept(world: World) -> bool:
    return not any(element.arrived for element in world.elements)


@pytest.mark.parametrize("content", [b"x" * 1001, b"x" * 300_000])
@pytest.mark.parametrize("known_length", [True, False])
async def test_the_size_limit_of_a_collection_holds(
    world: World, content: bytes, known_length: bool
) -> None:
    async with ruled(world, Admission(size_bytes_max=1000)):
        data: Any = content if known_length else in_pieces(content)
        status, body, _ = await world.post({"filename": "a", "collection": "c"}, data)
        assert (status, body["code"], body["limit_bytes"]) == (413, "body_too_large", 1000)
        assert nothing_kept(world)
        assert (await world.post({"filename": "a", "collection": "c"}, b"x" * 1000))[0] == 201
        assert (await world.post({"filename": "a"}, content))[0] == 201


LIES: list[tuple[str, bytes, str]] = [
    ("application/pdf", EXE, "application/vnd.microsoft.portable-executable"),
    ("application/pdf", big(EXE), "application/vnd.microsoft.portable-executable"),
    ("application/pdf", big(b"%PDF-1.7"), "application/pdf"),
    (DOCX, docx()[:-9], "application/zip"),
    (DOCX, docx(200_000)[:-9], "application/zip"),
    ("image/png", big(b"<html><script>"), "application/octet-stream"),
]


@pytest.mark.parametrize(("declared", "content", "found"), LIES)
@pytest.mark.parametrize("action", list(OnMismatch))
async def test_a_client_that_lies_about_the_type(
    world: World, declared: str, content: bytes, found: str, action: OnMismatch
) -> None:
    async with ruled(world, Admission(mismatch=action)):
        query = {"filename": "a.bin", "collection": "c"}
        status, body, _ = await world.post(query, content, {"Content-Type": declared})

        if action is OnMismatch.REFUSE:
            assert (status, body["code"], body["content_type"]) == (422, "type_mismatch", found)
            assert nothing_kept(world)
        else:
            draft = only(world).draft
            assert status == 201
            assert (draft.content_type, draft.declared_content_type) == (found, declared)
            assert (body["content_type"], body["declared_content_type"]) == (found, declared)


@pytest.mark.parametrize("content", [docx(), docx(200_000), big(b"%PDF-1.7", b"%%EOF\n")])
async def test_who_tells_the_truth_is_believed(world: World, content: bytes) -> None:
    declared = DOCX if content.startswith(b"PK") else "application/pdf"
    async with ruled(world, Admission(mismatch=OnMismatch.REFUSE, allowed_types=(declared,))):
        query = {"filename": "a.bin", "collection": "c"}
        for data in (content, in_pieces(content)):
            status, body, _ = await world.post(query, data, {"Content-Type": declared})
            assert (status, body["content_type"]) == (201, declared)


@pytest.mark.parametrize("content", [EXE, big(EXE)])
async def test_a_type_that_is_not_on_the_list_is_refused(world: World, content: bytes) -> None:
    async with ruled(world, Admission(allowed_types=("application/pdf", "image/*"))):
        status, body, _ = await world.post({"filename": "a.pdf", "collection": "c"}, content)
        assert (status, body["code"]) == (415, "type_not_allowed")
        assert nothing_kept(world)


async def test_a_full_quota_refuses_before_the_body_is_sent(world: World) -> None:
    async with ruled(world, Admission(quota_bytes=1000), used=900):
        head = world.head("/api/v1/files?filename=a&collection=c", "Content-Length: 101")
        reader, writer = await world.open()
        writer.write(head)
        assert b" 403 " in await reader.readline()
        writer.close()

        query = {"filename": "a", "collection": "c"}
        assert (await world.post(query, b"x" * 100))[0] == 201
        status, body, _ = await world.post(query, b"x")
        assert (status, body["code"], body["quota_of"]) == (403, "quota_exceeded", "collection")


@pytest.mark.parametrize("room", [1000, 100_000])
async def test_a_body_that_says_no_length_does_not_get_past_a_quota(
    world: World, room: int
) -> None:
    async with ruled(world, Admission(quota_bytes=room)):
        query = {"filename": "a", "collection": "c"}
        status, body, _ = await world.post(query, in_pieces(bytes(room + 50_000)))
        assert (status, body["code"]) == (403, "quota_exceeded")
        assert nothing_kept(world)

        assert (await world.post(query, in_pieces(bytes(room))))[0] == 201


async def test_rules_hold_while_the_admin_module_is_away(world: World) -> None:
    async with ruled(world, Admission(size_bytes_max=10)):
        with _away(world):
            query = {"filename": "a", "collection": "c"}
            assert (await world.post(query, b"x" * 11))[0] == 413
            assert (await world.post(query, b"x"))[0] == 201


@contextlib.contextmanager
def _away(world: World) -> Iterator[None]:
    world.issuer.away = True
    try:
        yield
    finally:
        world.issuer.away = False


async def test_a_digest_in_a_parameter_reaches_the_element(world: World) -> None:
    sha256 = "0" * 64
    await world.post({"filename": "a", "sha256": sha256}, b"x")
    assert only(world).draft.expected_sha256 == sha256

    other = {"Repr-Digest": f"sha-256=:{'/' * 43}8=:"[:55]}
    status, body, _ = await world.post({"filename": "a", "sha256": sha256}, b"x", other)
    assert (status, body["code"]) == (422, "invalid_request")
    assert (await world.post({"filename": "a", "sha256": "abc"}, b"x"))[0] == 422


@pytest.mark.parametrize("content", [b"x" * 100, b"x" * 200_000])
async def test_a_client_that_lies_about_the_digest(site: Site, content: bytes) -> None:
    """With a real element behind: nothing of it is kept."""
    right, before = hashlib.sha256(content), site.stored()
    wrong = b64encode(bytes(32)).decode()
    lies: list[dict[str, Any]] = [
        {"sha256": "0" * 64},
        {"headers": {"Repr-Digest": f"sha-256=:{wrong}:"}},
        {"headers": {"Content-Digest": f"sha-256=:{wrong}:"}},
    ]
    for lie in lies:
        answer = await site.post(content, "default", **lie)
        assert (answer["status"], answer["code"]) == (422, "digest_mismatch")
    assert site.stored() == before
    truth = {"Repr-Digest": f"sha-256=:{b64encode(right.digest()).decode()}:"}
    answer = await site.post(content, "default", truth, sha256=right.hexdigest())
    assert (answer["status"], answer["sha256"]) == (201, right.hexdigest())
