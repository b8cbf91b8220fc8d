"""Resumable uploads as the protocol has them: two real ingesters in front of a real element."""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from tests.support.issuer import ISSUER, Issuer
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.places import in_place
from tests.support.processes import eventually

from artstore.core.audit.receipts import KeySet
from artstore.core.model.admission import (
    Admission,
    AdmissionRules,
    CollectionRules,
    OnMismatch,
    Usage,
)
from artstore.core.model.element import ElementEntry
from artstore.core.tls import client_context, server_name

MIB = 1 << 20
PART = "application/offset+octet-stream"
PATH = "/api/v1/uploads"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> tuple[int, str]:
        assert self.headers["Tus-Resumable"] == "1.0.0"
        return self.status, json.loads(self.body)["code"]

    @property
    def offset(self) -> int:
        return int(self.headers["Upload-Offset"])


@dataclass
class Tus:
    session: aiohttp.ClientSession
    issuer: Issuer
    ingesters: list[ModuleProcess]
    element: ModuleProcess
    root: Path
    pki: Pki
    headers: dict[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, headers: dict[str, str], data: Any = None, *, at: int = 0
    ) -> Answer:
        """Args: `at`: which ingester. A header of "" is left out."""
        sent = {"Tus-Resumable": "1.0.0", **self.headers, **headers}
        async with self.session.request(
            method,
            f"{self.ingesters[at].url}{path}",
            headers={name: value for name, value in sent.items() if value},
            data=io.BytesIO(data) if isinstance(data, bytes) else data,
            server_hostname=server_name("ingester"),
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def begin(self, size: int, headers: dict[str, str] | None = None, **named: str) -> str:
        answer = await self.call("POST", PATH, {**creation(size, **named), **(headers or {})})
        assert answer.status == 201, answer.body
        return answer.headers["Location"]

    async def append(
        self, path: str, offset: int, data: Any, *, at: int = 0, **more: str
    ) -> Answer:
        headers = {"Content-Type": PART, "Upload-Offset": str(offset), **more}
        return await self.call("PATCH", path, headers, data, at=at)

    async def head(self, path: str, *, at: int = 0) -> Answer:
        return await self.call("HEAD", path, {}, at=at)

    def stored(self, path: str) -> bytes:
        """The bytes as they lie on the element's disk."""
        file_id = path.rpartition("/")[2][:36]
        return in_place(self.root / "data", file_id).with_name(f"{file_id}.pdf").read_bytes()

    def record(self, path: str) -> dict[str, Any]:
        file_id = path.rpartition("/")[2][:36]
        found = in_place(self.root / "data", file_id)
        record: dict[str, Any] = json.loads(found.read_text())
        return record


def creation(size: int, **named: str) -> dict[str, str]:
    pairs = {"filename": "отчёт.pdf", **named}
    metadata = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items())
    return {"Upload-Length": str(size), "Upload-Metadata": metadata}


@pytest.fixture(scope="module")
async def shared_tus(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tus]:
    root = tmp_path_factory.mktemp("tus") / "element"
    async with Issuer(pki) as issuer:
        with contextlib.ExitStack() as processes:

            def started(module: str, instance: str, **settings: object) -> ModuleProcess:
                return processes.enter_context(module_process(module, pki, settings, instance))

            element = await asyncio.to_thread(
                started, "storage", "edit-1", ELEMENT_ID="edit-1", ROOT=root
            )
            issuer.elements = [ElementEntry(element_id="edit-1", url=element.url)]
            ingesters = [
                await asyncio.to_thread(
                    started,
                    "ingester",
                    f"ingester-{number}",
                    ADMIN_URL=issuer.url,
                    ISSUER=ISSUER,
                    UPLOAD_BYTES_MAX=1 << 31,
                    BODY_IDLE_TIMEOUT_S=2,
                    REGISTRY_REFRESH_S=0.1,
                    ELEMENT_REFRESH_S=0.1,
                )
                for number in (1, 2)
            ]
            connector = aiohttp.TCPConnector(ssl=client_context(pki.files("edge")), limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                tus = Tus(session, issuer, ingesters, element, root, pki)
                tus.headers["Authorization"] = f"Bearer {issuer.token()}"
                async with asyncio.timeout(20):
                    for at in (0, 1):
                        while (await tus.call("POST", PATH, creation(0), at=at)).status != 201:
                            await asyncio.sleep(0.05)
                yield tus
            await asyncio.to_thread(processes.close)


@pytest.fixture
def tus(shared_tus: Tus) -> Tus:
    return shared_tus


async def test_it_says_what_it_speaks(tus: Tus) -> None:
    answer = await tus.call("OPTIONS", PATH, {"Authorization": "", "Tus-Resumable": ""})

    assert answer.status == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == str(1 << 31)
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "expiration",
        "checksum",
        "termination",
    }
    assert "sha1" in answer.headers["Tus-Checksum-Algorithm"].split(",")


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 7])
async def test_parts_through_different_ingesters_are_one_file(tus: Tus, size: int) -> None:
    content = os.urandom(size)
    path = await tus.begin(
        size, filetype="application/pdf", tags='["a","б"]', metadata='{"case":7}', retention="none"
    )
    for number, start in enumerate(range(0, size, MIB)):
        answer = await tus.append(path, start, content[start : start + MIB], at=number % 2)
        assert (answer.status, answer.offset) == (204, min(size, start + MIB))

    answer = await tus.head(path, at=1)

    assert answer.headers["Upload-Length"] == answer.headers["Upload-Offset"] == str(size)
    assert answer.headers["Content-Location"] == f"/api/v1/files/{path.rpartition('/')[2][:36]}"
    assert answer.headers["ArtStore-Receipt"].count(".") == 2
    assert tus.stored(path) == content
    record = tus.record(path)
    assert record["original_filename"] == "отчёт.pdf"
    assert (record["tags"], record["metadata"]) == (["a", "б"], {"case": 7})
    assert record["digests"][0]["value"] == hashlib.sha256(content).hexdigest()
    assert record["uploaded_by"]["subject"] == "account-1"
    assert not list((tus.root / "uploads").glob(f"{record['file_id']}*"))


async def test_a_creation_may_bring_the_first_bytes(tus: Tus) -> None:
    head = {"Content-Type": PART}
    answer = await tus.call("POST", PATH, {**creation(10), **head}, b"hello")
    assert (answer.status, answer.offset) == (201, 5)
    path = answer.headers["Location"]
    assert "Upload-Expires" in answer.headers
    assert (await tus.append(path, 5, b"world")).status == 204
    assert tus.stored(path) == b"helloworld"

    answer = await tus.call("POST", PATH, {**creation(3), **head}, b"all")
    assert (answer.status, answer.offset) == (201, 3)
    assert tus.stored(answer.headers["Location"]) == b"all"


async def test_a_creation_that_fails_with_its_bytes_leaves_nothing(tus: Tus) -> None:
    """Nobody learnt its name: it would keep its room for a day."""
    before = {path.name for path in (tus.root / "uploads").iterdir()}
    head = {**creation(10), "Content-Type": PART}
    wrong = {"Upload-Checksum": f"sha1 {base64.b64encode(bytes(20)).decode()}"}

    assert (await tus.call("POST", PATH, head, b"more than ten")).problem[0] == 422
    assert (await tus.call("POST", PATH, {**head, **wrong}, b"hello")).problem[0] == 460

    async def broken() -> AsyncIterator[bytes]:
        yield b"hello"
        await asyncio.sleep(0.2)
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await tus.call("POST", PATH, head, broken())
    await eventually(lambda: {path.name for path in (tus.root / "uploads").iterdir()} <= before)


async def test_a_client_that_vanishes_goes_on_where_it_was(tus: Tus) -> None:
    content = os.urandom(6 * MIB)
    path = await tus.begin(len(content))

    async def half() -> AsyncIterator[bytes]:
        for start in range(0, 4 * MIB, MIB):
            yield content[start : start + MIB]
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await tus.append(path, 0, half())

    offset = await resumed_offset(tus, path)
    assert 0 < offset <= 4 * MIB
    assert (await tus.append(path, offset, content[offset:], at=1)).status == 204
    assert tus.stored(path) == content


async def resumed_offset(tus: Tus, path: str) -> int:
    """As a client finds it: it asks until the element has noticed that the last one left."""
    async with asyncio.timeout(20):
        while True:
            offset = (await tus.head(path, at=1)).offset
            answer = await tus.append(path, offset, b"", at=1)
            if offset and answer.status == 204:
                return offset
            await asyncio.sleep(0.05)


async def test_two_writers_at_once(tus: Tus) -> None:
    path = await tus.begin(2 * MIB)
    sent = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        await sent.wait()
        yield b"x" * MIB

    async def written() -> Answer:
        # Whoever asks below may be the one who is writing, for a moment.
        while (answer := await tus.append(path, 0, slowly())).status == 423:
            await asyncio.sleep(0.02)
        return answer

    first = asyncio.create_task(written())
    async with asyncio.timeout(60):
        while (answer := await tus.append(path, 0, b"", at=1)).status == 204:
            await asyncio.sleep(0.02)
    assert answer.problem == (423, "upload_busy")
    assert (await tus.call("DELETE", path, {}, at=1)).problem == (423, "upload_busy")
    sent.set()
    assert (await first).offset == 2 * MIB
    assert tus.stored(path) == b"x" * 2 * MIB


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_checksums(tus: Tus, algorithm: str) -> None:
    content = os.urandom(MIB)
    path = await tus.begin(MIB)

    def checksum(data: bytes) -> dict[str, str]:
        value = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
        return {"Upload-Checksum": f"{algorithm} {value}"}

    answer = await tus.append(path, 0, content, **checksum(b"else"))
    assert answer.problem == (460, "checksum_mismatch")
    assert (await tus.head(path)).offset == 0
    assert (await tus.append(path, 0, content, **checksum(content))).status == 204
    assert tus.stored(path) == content


async def test_a_digest_of_the_whole_is_checked_at_the_end(tus: Tus) -> None:
    path = await tus.begin(4, sha256=hashlib.sha256(b"good").hexdigest())
    assert (await tus.append(path, 0, b"bad!")).problem == (422, "digest_mismatch")
    assert (await tus.head(path)).status == 404

    path = await tus.begin(4, sha256=hashlib.sha256(b"good").hexdigest())
    assert (await tus.append(path, 0, b"good")).status == 204


async def test_termination(tus: Tus) -> None:
    path = await tus.begin(4)
    await tus.append(path, 0, b"ab")
    assert (await tus.call("DELETE", path, {}, at=1)).status == 204
    assert (await tus.head(path)).status == 404
    assert (await tus.append(path, 2, b"cd")).problem == (404, "unknown_upload")
    assert not list((tus.root / "uploads").glob(f"{path.rpartition('/')[2][:36]}*"))


async def test_a_file_is_no_upload_to_terminate(tus: Tus) -> None:
    path = await tus.begin(2)
    await tus.append(path, 0, b"ab")
    assert (await tus.call("DELETE", path, {})).problem == (404, "unknown_upload")
    assert tus.stored(path) == b"ab"


async def test_methods_by_header(tus: Tus) -> None:
    path = await tus.begin(2)
    headers = {"Content-Type": PART, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert (await tus.call("POST", path, headers, b"ab")).status == 204
    answer = await tus.call("POST", path, {"X-HTTP-Method-Override": "GET"})
    assert answer.status == 405


async def test_an_upload_is_its_owners(tus: Tus) -> None:
    path = await tus.begin(2)
    stranger = {"Authorization": f"Bearer {tus.issuer.token(sub='account-2')}"}
    reader = {"Authorization": f"Bearer {tus.issuer.token(['files:read'])}"}
    part = {"Content-Type": PART, "Upload-Offset": "0"}
    for method, headers in (("HEAD", {}), ("PATCH", part), ("DELETE", {})):
        assert (await tus.call(method, path, {**headers, **stranger})).status == 404
        assert (await tus.call(method, path, {**headers, **reader})).status == 403
        assert (await tus.call(method, path, {**headers, "Authorization": ""})).status == 401
    assert (await tus.head(path)).offset == 0


async def test_refused_requests(tus: Tus) -> None:
    path = await tus.begin(4)
    part = {"Content-Type": PART, "Upload-Offset": "0"}
    missing = f"{PATH}/{'0' * 8}-0000-7000-8000-{'0' * 12}.edit-1"
    refusals = [
        ("POST", PATH, {"Upload-Length": "4"}, 422, "invalid_metadata"),
        ("POST", PATH, {**creation(4), "Upload-Length": ""}, 422, "invalid_request"),
        ("POST", PATH, {**creation(4), "Upload-Length": "-1"}, 422, "invalid_request"),
        ("POST", PATH, {**creation(4), "Upload-Length": "9" * 30}, 422, "invalid_request"),
        ("POST", PATH, creation((1 << 31) + 1), 413, "body_too_large"),
        ("POST", PATH, creation(4, colour="red"), 422, "invalid_metadata"),
        ("POST", PATH, creation(4, tags="red"), 422, "invalid_metadata"),
        ("POST", PATH, creation(4, sha256="abc"), 422, "invalid_metadata"),
        ("POST", PATH, {**creation(4), "Upload-Metadata": "filename %%%"}, 422, "invalid_metadata"),
        ("POST", PATH, {**creation(4), "Tus-Resumable": "0.2.2"}, 412, "unsupported_tus_version"),
        ("PATCH", path, {**part, "Tus-Resumable": ""}, 412, "unsupported_tus_version"),
        ("PATCH", path, {**part, "Upload-Offset": "1"}, 409, "offset_conflict"),
        ("PATCH", path, {**part, "Upload-Offset": "x"}, 422, "invalid_request"),
        ("PATCH", path, {**part, "Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("PATCH", path, {**part, "Upload-Checksum": "md5 AAAA"}, 422, "invalid_request"),
        ("PATCH", path, {**part, "Upload-Checksum": "sha1 AAAA"}, 422, "invalid_request"),
        ("PATCH", missing, part, 404, "unknown_upload"),
        ("PATCH", await tus.begin(0), {**part, "Upload-Offset": "1"}, 409, "offset_conflict"),
        ("PATCH", f"{PATH}/nonsense", part, 404, "unknown_upload"),
        ("PATCH", f"{path}x", part, 404, "unknown_upload"),
    ]
    for method, target, headers, status, code in refusals:
        answer = await tus.call(method, target, headers, b"data" if method == "PATCH" else None)
        assert answer.problem == (status, code), (headers, answer)
    answer = await tus.append(path, 0, b"too much")
    assert answer.problem == (422, "size_mismatch")
    assert (await tus.head(path)).offset == 0


async def test_a_silent_client_gives_the_upload_free(tus: Tus) -> None:
    path = await tus.begin(4)
    leave = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield b"ab"
        await leave.wait()

    answer = await tus.append(path, 0, silent())
    leave.set()
    assert answer.problem == (408, "body_stalled")
    assert await resumed_offset(tus, path) == 2
    assert (await tus.append(path, 2, b"cd")).status == 204
    assert tus.stored(path) == b"abcd"


async def test_a_slow_client_takes_its_time(tus: Tus) -> None:
    """Longer than a silence may last, and a few bytes at a time."""
    content = bytes(range(30))
    path = await tus.begin(len(content))

    async def drops() -> AsyncIterator[bytes]:
        for byte in content:
            yield bytes((byte,))
            await asyncio.sleep(0.1)

    assert (await tus.append(path, 0, drops())).status == 204
    assert tus.stored(path) == content


@pytest.mark.parametrize("action", [OnMismatch.REFUSE, OnMismatch.FLAG])
async def test_a_client_that_lies_about_the_type(tus: Tus, action: OnMismatch) -> None:
    """It is found out when the upload is whole, whoever got its beginning."""
    program = b"MZ\x90\x00" + bytes(200_000)
    async with ruled(tus, Admission(mismatch=action)):
        path = await tus.begin(len(program), filetype="application/pdf", collection="c")
        assert (await tus.append(path, 0, program[:1000])).status == 204
        answer = await tus.append(path, 1000, program[1000:], at=1)

    if action is OnMismatch.REFUSE:
        assert answer.problem == (422, "type_mismatch")
        file_id = path.rpartition("/")[2][:36]
        assert not list((tus.root / "data").rglob(f"{file_id}*"))
    else:
        assert answer.status == 204
        record = tus.record(path)
        assert record["content_type"] == "application/vnd.microsoft.portable-executable"
        assert record["declared_content_type"] == "application/pdf"


async def test_uploads_that_began_in_the_same_room_do_not_both_get_it(tus: Tus) -> None:
    async with ruled(tus, Admission(quota_bytes=10)):
        first, second = [await tus.begin(10, collection="c") for _ in range(2)]
        assert (await tus.append(first, 0, bytes(10))).status == 204
        assert (await tus.append(second, 0, bytes(10))).problem == (403, "quota_exceeded")
        assert (await tus.head(second)).status == 403
    async with ruled(tus, Admission(quota_bytes=20)):
        # Nothing of it was lost.
        assert (await tus.head(second)).offset == 10
        assert tus.stored(second) == bytes(10)


@contextlib.asynccontextmanager
async def ruled(tus: Tus, admission: Admission) -> AsyncIterator[None]:
    """The collection `c` has these rules, and both ingesters know it."""
    usage = Usage(used_bytes=0, used_files=0, counted_at=datetime.now(UTC))
    rules = CollectionRules(collection="c", admission=admission, usage=usage)
    await tell(tus, AdmissionRules(collections=(rules,)))
    try:
        yield
    finally:
        await tell(tus, AdmissionRules())


async def tell(tus: Tus, rules: AdmissionRules) -> None:
    tus.issuer.rules, tus.issuer.rules_read = rules, 0
    async with asyncio.timeout(20):
        # Both ask equally often; the first answer to each may have been on its way before.
        while tus.issuer.rules_read < 6 * len(tus.ingesters):
            await asyncio.sleep(0.05)


async def test_a_large_upload_costs_no_memory(tus: Tus) -> None:
    size = 256 * MIB
    path = await tus.begin(size)
    block = os.urandom(MIB)
    processes = [*tus.ingesters[:1], tus.element]
    before = [process.rss_bytes for process in processes]

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield block

    assert (await tus.append(path, 0, blocks())).status == 204
    grown = [process.rss_bytes - start for process, start in zip(processes, before, strict=True)]
    assert max(grown) < 64 * MIB
    assert psutil.pid_exists(tus.element.pid)


async def test_the_upload_that_is_whole_has_a_receipt_and_says_where_it_came_from(tus: Tus) -> None:
    content = b"in two parts"
    path = await tus.begin(len(content))
    assert "ArtStore-Receipt" not in (await tus.append(path, 0, content[:5])).headers
    answer = await tus.append(path, 5, content[5:], at=1)

    keys = KeySet({key.kid: key for key in tus.issuer.receipt_keys})
    receipt = keys.verify(answer.headers["ArtStore-Receipt"])
    assert (receipt.file_id, receipt.size) == (path.rpartition("/")[2][:36], len(content))
    assert receipt.sha256 == hashlib.sha256(content).hexdigest()

    element = client_context(tus.pki.files("admin"))
    async with tus.session.get(
        f"{tus.element.url}/api/v1/changes?after=0&wait=0",
        ssl=element,
        server_hostname=server_name("storage"),
    ) as response:
        lines = [json.loads(line) async for line in response.content]
    (line,) = [line for line in lines if line["record"]["file_id"] == receipt.file_id]
    assert line["origin"]["services"] == ["edge/edge-1", "ingester/ingester-1"]
    assert line["origin"]["token_id"]
    assert "origin" not in line["record"]
