"""The one test that matters most: what goes in is found and comes out, byte for byte."""

import hashlib
import os
import time
from pathlib import Path

import httpx2
import pytest
from tests.support.places import in_place
from tests.support.stack import RunningStack

from artstore.client import ArtStore

pytestmark = pytest.mark.stack

MIB = 1 << 20


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_upload_find_download_cut_resume_compare(
    stack: RunningStack, store: ArtStore, http: httpx2.Client, tmp_path: Path
) -> None:
    content = os.urandom(24 * MIB + 4321)
    name = "Отчёт о приёмке 2026.bin"

    stored = http.post(
        "/api/v1/files",
        params={"filename": name, "tag": "акт"},
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert stored.status_code == 201, stored.text
    file_id = stored.json()["file_id"]
    assert stored.json()["sha256"] == sha256(content)
    assert stored.json()["size"] == len(content)
    assert stored.headers["location"] == stored.json()["location"] == f"/api/v1/files/{file_id}"

    assert file_id in found(http, "отчеты приемка")

    part = first_bytes(http, file_id, 5 * MIB)
    assert part == content[: len(part)]
    rest = http.get(
        f"/api/v1/files/{file_id}/content",
        headers={"Range": f"bytes={len(part)}-", "If-Range": f'"{sha256(content)}"'},
    )
    assert rest.status_code == 206
    last = len(content) - 1
    assert rest.headers["content-range"] == f"bytes {len(part)}-{last}/{len(content)}"
    assert sha256(part + rest.content) == sha256(content)

    assert store.get(file_id, tmp_path / "copy")
    assert sha256((tmp_path / "copy").read_bytes()) == sha256(content)


def found(http: httpx2.Client, query: str) -> set[str]:
    """Ids that a search gives; waits for the catalogue, which follows within a second."""
    deadline = time.monotonic() + 20
    while True:
        items = http.get("/api/v1/search", params={"q": query}).raise_for_status().json()["items"]
        if items or time.monotonic() > deadline:
            return {item["file_id"] for item in items}
        time.sleep(0.1)


def first_bytes(http: httpx2.Client, file_id: str, wanted: int) -> bytes:
    """Read so much and drop the connection, as a cut cable would."""
    received = b""
    with http.stream("GET", f"/api/v1/files/{file_id}/content") as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            received += chunk
            if len(received) >= wanted:
                break
    return received


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.txt", b""),
        ("one.bin", b"\0"),
        ("Договор.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 300),
        ("edge of inline.bin", b"x" * 65536),
        ("behind it.bin", b"x" * 65537),
    ],
)
def test_every_size_comes_back(http: httpx2.Client, name: str, content: bytes) -> None:
    stored = http.post("/api/v1/files", params={"filename": name}, content=content)
    assert stored.status_code == 201, stored.text
    file_id = stored.json()["file_id"]

    answer = http.get(f"/api/v1/files/{file_id}/content")

    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["etag"] == f'"{sha256(content)}"'
    record = http.get(f"/api/v1/files/{file_id}").json()
    assert (record["original_filename"], record["size"]) == (name, len(content))


def test_a_form_upload_is_the_same_upload(http: httpx2.Client) -> None:
    stored = http.post(
        "/api/v1/files",
        data={"collection": "letters", "metadata": '{"from": "Анна"}', "tag": ["a", "b"]},
        files={"file": ("письмо.txt", b"hello", "text/plain")},
    )
    assert stored.status_code == 201, stored.text

    record = http.get(f"/api/v1/files/{stored.json()['file_id']}").json()
    assert record["original_filename"] == "письмо.txt"
    assert record["collection"] == "letters"
    assert record["metadata"] == {"from": "Анна"}
    assert record["tags"] == ["a", "b"]
    assert record["content_type"] == "text/plain"


def test_the_bytes_on_disk_need_no_artstore(stack: RunningStack, http: httpx2.Client) -> None:
    stored = http.post("/api/v1/files", params={"filename": "plain.txt"}, content=b"readable")
    file_id = stored.json()["file_id"]

    attr = in_place(stack.home / "data", file_id)

    assert attr.with_name(f"{file_id}.txt").read_bytes() == b"readable"
    assert f'"{file_id}"' in attr.read_text("utf-8")


def test_retention_chooses_the_element_and_keeps_the_file(
    stack: RunningStack, http: httpx2.Client
) -> None:
    stored = http.post(
        "/api/v1/files", params={"filename": "keep.txt", "retention": "P1Y"}, content=b"keep"
    )
    file_id = stored.json()["file_id"]

    assert in_place(stack.home / "data" / "rw-1" / "data", file_id)
    refused = http.delete(f"/api/v1/files/{file_id}")
    assert refused.status_code == 409
    assert refused.json()["code"] in {"mode_forbids", "retention_forbids"}
    assert http.get(f"/api/v1/files/{file_id}/content").content == b"keep"


def test_what_is_deleted_says_so(http: httpx2.Client) -> None:
    stored = http.post("/api/v1/files", params={"filename": "gone.txt"}, content=b"gone")
    file_id = stored.json()["file_id"]

    assert http.delete(f"/api/v1/files/{file_id}").status_code in {200, 204}

    for path in (f"/api/v1/files/{file_id}", f"/api/v1/files/{file_id}/content"):
        answer = http.get(path)
        assert answer.status_code == 410
        assert answer.json()["code"] == "file_deleted"
