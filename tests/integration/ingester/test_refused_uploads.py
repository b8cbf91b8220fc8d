"""What is refused, with which problem, and that nothing of it reaches an element."""

import asyncio
import json
from base64 import b64encode
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from tests.integration.ingester.conftest import World
from tests.support.fake_element import Fault
from tests.support.processes import eventually

from artstore.core.errors import DigestMismatch, InvalidMetadata, NoRoom

LIMIT = 1 << 31
LARGE = bytes(300_000)
WRONG_DIGEST = f"sha-256=:{b64encode(bytes(32)).decode()}:"


def is_problem(body: dict[str, Any], status: int, code: str) -> bool:
    members = {"type", "title", "status", "detail", "code", "correlation_id"}
    return members <= body.keys() and (body["status"], body["code"]) == (status, code)


def untouched(world: World) -> bool:
    return not any(element.requests["put"] or element.arrived for element in world.elements)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "filename"),
        ("filename=", "filename"),
        ("filename=%FF", "filename"),
        ("filename=%ED%A0%80", "filename"),
        ("filename=" + "a" * 1025, "filename"),
        ("filename=a&filename=b", "filename"),
        ("filename=a&tags=x", "tags"),
        ("filename=a&tag=", "tag"),
        ("filename=a&tag=%80", "tag"),
        ("filename=a&tag=" + "t" * 257, "tag"),
        ("filename=a" + "&tag=t" * 257, "tag"),
        ("filename=a&collection=No%20Such", "collection"),
        ("filename=a&collection=", "collection"),
        ("filename=a&retention=soon", "retention"),
        ("filename=a&retention=2001-01-01", "retention"),
        ("filename=a&retention=", "retention"),
        ("filename=a&metadata=", "metadata"),
        ("filename=a&metadata=[]", "metadata"),
        ("filename=a&metadata={", "metadata"),
        ('filename=a&metadata={"a":NaN}', "metadata"),
        ('filename=a&metadata={"a":"%5Cud800"}', "metadata"),
        ("filename=a&metadata=" + "[" * 2000, "metadata"),
        ('filename=a&metadata={"":1}', "metadata"),
    ],
)
async def test_malformed_metadata_names_its_field(world: World, query: str, field: str) -> None:
    status, body, _ = await world.post(query.replace('"', "%22"), b"x")

    assert (status, body["field"]) == (422, field)
    assert is_problem(body, 422, "invalid_metadata")
    assert untouched(world)


async def test_a_content_type_that_is_none_is_refused(world: World) -> None:
    status, body, _ = await world.post({"filename": "a"}, b"x", {"Content-Type": "nonsense"})

    assert (status, body["field"]) == (422, "content_type")


@pytest.mark.parametrize(
    "value", ["sha-256=:AAAA:", "sha-256=abc", "sha-256", "sha-256=:!!:", "garbage;;", "a=1,"]
)
async def test_a_malformed_digest_is_refused(world: World, value: str) -> None:
    _, body, _ = await world.post({"filename": "a"}, b"x", {"Repr-Digest": value})

    assert is_problem(body, 422, "invalid_request")
    assert body["field"] == "repr-digest"
    assert untouched(world)


@pytest.mark.parametrize(
    ("failure", "status"),
    [(DigestMismatch("no"), 422), (InvalidMetadata("too large", field="metadata"), 422)],
)
@pytest.mark.parametrize("content", [b"x", LARGE])
async def test_the_elements_findings_reach_the_sender(
    world: World, failure: Exception, status: int, content: bytes
) -> None:
    world.edit.faults, world.edit.failure = [Fault.REFUSE_LATE], failure

    answer = await world.post({"filename": "a"}, content, {"Repr-Digest": WRONG_DIGEST})

    assert is_problem(answer[1], status, failure.code)  # type: ignore[attr-defined]
    assert not world.spare.requests["put"]


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer x.y.z", "Basic abc", "expired"])
async def test_without_a_valid_token_nothing_is_read(world: World, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": token}
    if token == "expired":
        headers["Authorization"] = f"Bearer {world.issuer.token(exp=1)}"
    async with world.session.post(
        f"{world.ingester.url}/api/v1/files?filename=a",
        data=b"x",
        headers=headers,
        server_hostname="ingester.artstore.internal",
    ) as response:
        body = await response.json(content_type=None)

    assert is_problem(body, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert untouched(world)


async def test_a_token_without_the_scope_is_refused(world: World) -> None:
    token = world.issuer.token(scopes=["files:read"])

    _, body, _ = await world.post({"filename": "a"}, b"x", {"Authorization": f"Bearer {token}"})

    assert is_problem(body, 403, "not_permitted")


async def test_a_body_above_the_limit_is_refused_before_it_is_read(world: World) -> None:
    reader, writer = await world.open()
    writer.write(world.head("/api/v1/files?filename=a", f"Content-Length: {LIMIT + 1}"))

    head = await reader.readuntil(b"\r\n\r\n")

    assert b" 413 " in head
    assert b"connection: close" in head.lower()
    writer.close()
    assert untouched(world)


async def test_a_sender_in_full_swing_still_reads_the_refusal(world: World) -> None:
    """A reset of the connection would overtake the answer: the client must get to read it."""
    reader, writer = await world.open()
    writer.write(world.head("/api/v1/files?filename=", f"Content-Length: {1 << 30}"))
    for _ in range(64):
        writer.write(bytes(1 << 20))
        await writer.drain()

    assert b" 422 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_body_that_says_no_length_is_counted(small: World) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield bytes(10_000)

    _, body, _ = await small.post({"filename": "a"}, chunks())

    assert is_problem(body, 413, "body_too_large")
    assert all(not element.arrived for element in small.elements)


async def test_a_form_above_the_limit_is_counted(small: World) -> None:
    data = aiohttp.FormData()
    data.add_field("file", bytes(150_000), filename="a")

    _, body, _ = await small.post("", data)

    assert is_problem(body, 413, "body_too_large")
    assert all(not element.arrived for element in small.elements)


async def test_nobody_has_room(world: World) -> None:
    world.edit.available_bytes = world.spare.available_bytes = 10
    await world.settled()

    _, body, _ = await world.post({"filename": "a"}, bytes(11))

    assert is_problem(body, 507, "no_room")
    status, _, _ = await world.post({"filename": "a"}, bytes(10))
    assert status == 201


@pytest.mark.parametrize("content", [b"x", LARGE])
async def test_every_element_turns_out_to_be_full(world: World, content: bytes) -> None:
    for element in (world.edit, world.spare):
        element.faults, element.failure = [Fault.REFUSE], NoRoom("full")

    _, body, _ = await world.post({"filename": "a"}, content)

    assert is_problem(body, 507, "no_room")


FORM = "multipart/form-data; boundary=B"
END = b"--B--\r\n"


def part(parameters: str, value: bytes) -> bytes:
    head = f"--B\r\nContent-Disposition: {parameters}\r\n\r\n"
    return head.encode() + value + b"\r\n"


NAMED = 'form-data; name="file"; filename="a"'
FILE = part(NAMED, b"x")
LATE_TAG = part('form-data; name="tag"', b"late")
TAG_NOT_UTF8 = part('form-data; name="tag"', b"\xff")


@pytest.mark.parametrize(
    ("content_type", "body", "status", "field"),
    [
        ("multipart/form-data", b"", 415, None),
        (FORM, b"", 422, None),
        (FORM, b"nonsense", 422, None),
        (FORM, END, 422, "file"),
        (FORM, FILE, 422, None),
        (FORM, FILE + LATE_TAG + END, 422, None),
        (FORM, FILE + FILE + END, 422, None),
        (FORM, TAG_NOT_UTF8 + FILE + END, 422, "tag"),
        (FORM, part("attachment", b"x") + END, 422, None),
        (FORM, part(f"{NAMED}\r\nContent-Transfer-Encoding: base64", b"eA==") + END, 415, None),
        (FORM, part(f"{NAMED}\r\nContent-Encoding: gzip", b"x") + END, 415, None),
        (FORM, part('form-data; name="file"', b"x") + END, 422, "filename"),
        (FORM, part('form-data; name="metadata"', b" " * (1 << 20) + b"x") + END, 422, "metadata"),
    ],
)
async def test_a_malformed_form_keeps_nothing(
    world: World, content_type: str, body: bytes, status: int, field: str | None
) -> None:
    answer = await world.post("", BytesIO(body), {"Content-Type": content_type})

    assert answer[0] == status, answer[1]
    assert answer[1].get("field") == field
    assert untouched(world)


async def test_a_large_form_that_is_cut_short_keeps_nothing(world: World) -> None:
    _, body, _ = await world.post("", FILE.rstrip() + LARGE, {"Content-Type": FORM})

    assert is_problem(body, 422, "invalid_request")
    await eventually(lambda: world.edit.aborted == 1)
    assert not world.edit.arrived


async def test_an_encoded_body_is_refused(world: World) -> None:
    _, body, _ = await world.post({"filename": "a"}, b"x", {"Content-Encoding": "gzip"})

    assert is_problem(body, 415, "unsupported_media_type")


async def test_a_digest_of_the_whole_form_is_refused(world: World) -> None:
    data = aiohttp.FormData()
    data.add_field("file", b"x", filename="a")

    _, body, _ = await world.post("", data, {"Repr-Digest": WRONG_DIGEST})

    assert is_problem(body, 422, "invalid_request")


@pytest.mark.parametrize("size", [100, 200_000])
async def test_a_client_that_vanishes_leaves_nothing(world: World, size: int) -> None:
    before = world.edit.requests["put"]
    _, writer = await world.open()
    writer.write(
        world.head("/api/v1/files?filename=a", f"Content-Length: {size * 2}") + bytes(size)
    )
    await writer.drain()
    if size > 65536:
        await eventually(lambda: world.edit.requests["put"] > before)
    writer.transport.abort()

    await eventually(lambda: size <= 65536 or world.edit.aborted == 1)
    status, _, _ = await world.post({"filename": "b"}, b"x")
    assert status == 201
    assert len(world.edit.arrived) == 1


@pytest.mark.parametrize("size", [100, 200_000])
async def test_a_client_that_falls_silent_is_cut_off(world: World, size: int) -> None:
    reader, writer = await world.open()
    writer.write(
        world.head("/api/v1/files?filename=a", f"Content-Length: {size * 2}") + bytes(size)
    )

    head = await reader.readuntil(b"\r\n\r\n")

    assert b" 408 " in head
    writer.close()
    await eventually(lambda: world.edit.aborted == (1 if size > 65536 else 0))
    assert not world.edit.arrived


async def test_a_slow_client_is_waited_for(world: World) -> None:
    reader, writer = await world.open()
    writer.write(world.head("/api/v1/files?filename=a", "Content-Length: 5"))
    for _ in range(5):
        await asyncio.sleep(0.4)  # 2 s in all; the limit is 1 s of silence
        writer.write(b"x")

    assert b" 201 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_no_error_tells_anything_internal(world: World) -> None:
    world.edit.faults = world.spare.faults = [Fault.CUT] * 4

    _, body, _ = await world.post({"filename": "a"}, b"x")

    text = json.dumps(body)
    assert body["status"] == 503
    assert "127.0.0.1" not in text
    assert "Traceback" not in text
