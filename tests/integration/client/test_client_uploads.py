"""Uploads over real connections, through the blocking and the asynchronous client alike."""

import asyncio
import hashlib
import io
import os
from pathlib import Path

import pytest
from tests.integration.client.conftest import Client
from tests.integration.client.fake_artstore import CLIENT_ID, UPLOAD_BYTES_MAX, FakeArtStore, Fault
from tests.support.pki import Pki

from artstore.client import code_of, correlation_id_of
from artstore.client.async_store import AsyncArtStore
from artstore.client.bodies import SMALL_BYTES_MAX
from artstore.client.calls import ATTEMPTS_MAX
from artstore.client.settings import Profile, ProfileError
from artstore.client.store import ArtStore
from artstore.core.errors import (
    ArtStoreError,
    BodyTooLarge,
    DigestMismatch,
    InvalidCredentials,
    InvalidMetadata,
    InvalidRequest,
    InvalidToken,
    NoRoom,
    SizeMismatch,
    Unavailable,
)

FILES = "/api/v1/files"
LARGE = os.urandom(SMALL_BYTES_MAX) + b"and a bit more"


class OneWay(io.RawIOBase):
    """A stream like a pipe: it cannot be rewound."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        return self._content.readinto(buffer)


async def test_a_path_is_stored_with_what_is_said_of_it(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    path = tmp_path / "Отчёт №1.pdf"
    path.write_bytes(b"%PDF")

    stored = await client(
        "put", path, tags=["a b", "ü&="], metadata={"case": {"no": 7}}, collection="letters"
    )

    record = fake.files[stored.file_id].record
    assert fake.files[stored.file_id].content == b"%PDF"
    assert record["original_filename"] == "Отчёт №1.pdf"
    assert record["tags"] == ["a b", "ü&="]
    assert record["metadata"] == {"case": {"no": 7}}
    assert record["collection"] == stored.collection == "letters"
    assert record["content_type"] == "application/pdf"
    assert stored.sha256 == hashlib.sha256(b"%PDF").hexdigest()


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "large"])
async def test_files_of_any_size_carry_their_digest(
    client: Client, fake: FakeArtStore, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "letter").write_bytes(content)

    stored = await client("put", str(tmp_path / "letter"))

    assert fake.files[stored.file_id].content == content
    headers = fake.requests("POST", FILES)[0].headers
    assert "repr-digest" in headers
    assert headers["content-length"] == str(len(content))


async def test_a_stream_of_unknown_length_is_stored(client: Client, fake: FakeArtStore) -> None:
    stored = await client("put", OneWay(LARGE), filename="pipe")

    assert fake.files[stored.file_id].content == LARGE
    assert fake.requests("POST", FILES)[0].headers["transfer-encoding"] == "chunked"


async def test_a_stream_is_sent_from_where_it_stands(client: Client, fake: FakeArtStore) -> None:
    stream = io.BytesIO(b"headerbody")
    stream.seek(6)

    stored = await client("put", stream, filename="part")

    assert fake.files[stored.file_id].content == b"body"


async def test_a_stream_is_rewound_for_the_next_attempt(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 503)]
    stream = io.BytesIO(b"header" + LARGE)
    stream.seek(6)

    stored = await client("put", stream, filename="x")

    assert fake.files[stored.file_id].content == LARGE


async def test_bytes_need_a_name(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        await client("put", b"x")


async def test_one_token_serves_many_requests(client: Client, fake: FakeArtStore) -> None:
    for _ in range(3):
        await client("put", b"x", filename="x")

    assert len(fake.tokens) == 1


async def test_a_token_about_to_end_is_replaced(client: Client, fake: FakeArtStore) -> None:
    fake.token_lifetime_s = 1
    first = await client("token")
    await asyncio.sleep(1.1)

    assert await client("token") != first


async def test_a_refused_token_is_fetched_anew_once(client: Client, fake: FakeArtStore) -> None:
    await client("token")
    fake.tokens[0] = "revoked"

    stored = await client("put", LARGE, filename="x")

    assert fake.files[stored.file_id].content == LARGE
    assert len(fake.tokens) == 2


async def test_a_token_refused_again_is_a_failure(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 401, "invalid_token") for _ in range(2)]

    with pytest.raises(InvalidToken):
        await client("put", b"x", filename="x")
    assert len(fake.requests("POST", FILES)) == 2


async def test_many_uploads_at_once_fetch_one_token(profile: Profile, fake: FakeArtStore) -> None:
    async with AsyncArtStore.from_profile(profile) as store:
        await asyncio.gather(*[store.put(b"x", filename=str(number)) for number in range(20)])

    assert len(fake.tokens) == 1
    assert len(fake.files) == 20


async def test_wrong_credentials_are_named(fake: FakeArtStore, pki: Pki) -> None:
    with (
        ArtStore(fake.url, pki.ca_file, CLIENT_ID, "wrong") as store,
        pytest.raises(InvalidCredentials),
    ):
        store.token()


@pytest.mark.parametrize("status", [503, 502, 429])
async def test_a_refusal_for_now_is_tried_again(
    client: Client, fake: FakeArtStore, tmp_path: Path, status: int
) -> None:
    code = "too_many_requests" if status == 429 else "unavailable"
    fake.faults = [Fault("POST", FILES, status, code, plain=status == 502) for _ in range(2)]
    (tmp_path / "large").write_bytes(LARGE)

    stored = await client("put", tmp_path / "large")

    assert fake.files[stored.file_id].content == LARGE
    assert len(fake.requests("POST", FILES)) == 3


async def test_retry_after_is_waited_for(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 503, headers={"retry-after": "1"})]
    started = asyncio.get_running_loop().time()

    await client("put", b"x", filename="x")

    assert asyncio.get_running_loop().time() - started >= 1


async def test_a_long_retry_after_is_left_to_the_caller(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 503, headers={"retry-after": "3600"})]

    with pytest.raises(Unavailable) as caught:
        await client("put", b"x", filename="x")
    assert caught.value.retry_after_s == 3600


async def test_attempts_are_bounded(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 503) for _ in range(ATTEMPTS_MAX + 1)]

    with pytest.raises(Unavailable):
        await client("put", b"x", filename="x")
    assert len(fake.requests("POST", FILES)) == ATTEMPTS_MAX


async def test_a_lost_answer_is_asked_for_again(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, cut_before_answer=True)]

    stored = await client("put", b"x", filename="x")

    assert stored.file_id in fake.files


async def test_what_cannot_be_rewound_is_sent_once(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 503)]

    with pytest.raises(Unavailable):
        await client("put", OneWay(b"once"), filename="x")
    assert len(fake.requests("POST", FILES)) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(422, "invalid_metadata", InvalidMetadata), (507, "no_room", NoRoom)],
)
async def test_a_final_refusal_has_its_class(
    client: Client, fake: FakeArtStore, status: int, code: str, kind: type[ArtStoreError]
) -> None:
    fake.faults = [Fault("POST", FILES, status, code, fields={"field": "tags"})]

    with pytest.raises(kind, match="the detail of") as caught:
        await client("put", b"x", filename="x")
    assert caught.value.fields["field"] == "tags"
    trace_id = fake.requests("POST", FILES)[0].headers["traceparent"].split("-")[1]
    assert correlation_id_of(caught.value) == trace_id
    assert len(fake.requests("POST", FILES)) == 1


async def test_a_code_of_the_future_keeps_its_name(client: Client, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 409, "quota_reached")]

    with pytest.raises(ArtStoreError) as caught:
        await client("put", b"x", filename="x")
    assert code_of(caught.value) == "quota_reached"


async def test_a_refusal_of_a_huge_body_arrives(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(UPLOAD_BYTES_MAX + 1)

    with pytest.raises(BodyTooLarge):
        await client("put", tmp_path / "huge")


async def test_a_file_written_to_meanwhile_is_refused(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(LARGE)

    # The file is written to after it was hashed: when the first chunk has gone.
    with pytest.raises(DigestMismatch):
        await client("put", path, progress=lambda *_: path.write_bytes(LARGE[::-1]))
    assert fake.files == {}


async def test_a_file_cut_meanwhile_is_not_stored(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(LARGE)

    with pytest.raises(SizeMismatch):
        await client("put", path, progress=lambda *_: os.truncate(path, 1))
    assert fake.files == {}


async def test_an_absent_server_is_unavailable(pki: Pki) -> None:
    absent = Profile("https://127.0.0.1:9", pki.ca_file, "cli", "secret")
    with (
        ArtStore.from_profile(absent) as store,
        pytest.raises(Unavailable, match=r"no connection to https://127\.0\.0\.1:9: .*refused"),
    ):
        store.token()
    async with AsyncArtStore.from_profile(absent) as async_store:
        with pytest.raises(Unavailable, match=r"no connection to https://127\.0\.0\.1:9: "):
            await async_store.token()


async def test_a_stranger_s_certificate_is_refused_at_once(fake: FakeArtStore) -> None:
    untrusting = Profile(fake.url, None, "cli", "secret")
    with (
        ArtStore.from_profile(untrusting) as store,
        pytest.raises(ProfileError, match="certificate of https"),
    ):
        store.token()
    async with AsyncArtStore.from_profile(untrusting) as async_store:
        with pytest.raises(ProfileError, match="certificate of https"):
            await async_store.token()
    assert fake.seen == []


async def test_progress_reaches_the_end(client: Client, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    reported: list[tuple[int, int | None]] = []

    await client("put", tmp_path / "large", progress=lambda *report: reported.append(report))

    assert reported[-1] == (len(LARGE), len(LARGE))
    assert reported == sorted(reported)
