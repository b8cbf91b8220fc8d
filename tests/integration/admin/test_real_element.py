"""The whole way with a real storage element: uploaded, found, changed, deleted, rebuilt, and
the element killed in between."""

import json
import os
import signal
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from tests.support.admin import Admin
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.processes import short_folder, wait_until

from artstore.core.model.ids import FileIdSource
from artstore.core.tls import client_context

IDS = FileIdSource()
ELEMENT = "real-1"
ROWS = (
    "SELECT to_jsonb(f) - 'generation' FROM catalogue.files f "
    "WHERE element_id = %s ORDER BY file_id"
)


@pytest.fixture
def root() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def element(pki: Pki, root: Path) -> Any:
    settings = {"ELEMENT_ID": ELEMENT, "ROOT": root / "data", "MODE": "edit"}
    (root / "data").mkdir(exist_ok=True)
    return module_process("storage", pki, settings, "storage-1")


def upload(pki: Pki, storage: ModuleProcess, name: str, **draft: Any) -> dict[str, Any]:
    uploader = {"subject": "account:1", "name": "cli", "via": "ingester-1"}
    head = json.dumps({"original_filename": name, "uploaded_by": uploader, **draft}).encode()
    body = struct.pack(">I", len(head)) + head + name.encode()
    file_id = IDS.new(datetime.now(UTC), os.urandom(10))
    with httpx2.Client(verify=client_context(pki.files("ingester"))) as client:
        stored = client.put(
            f"{storage.url}/api/v1/files/{file_id}",
            content=body,
            headers={"Content-Type": "application/vnd.artstore.file"},
        )
    assert stored.status_code == 201, stored.text
    record: dict[str, Any] = stored.json()
    return record


def rows(admin: Admin) -> list[Any]:
    with psycopg.connect(admin.installation.database.url) as connection:
        return [row[0] for row in connection.execute(ROWS, (ELEMENT,))]


def register(client: httpx2.Client, url: str) -> None:
    body = {"element_id": ELEMENT, "url": url}
    if client.post("/api/v1/storage-elements", json=body).status_code == 409:
        client.patch(f"/api/v1/storage-elements/{ELEMENT}", json={"url": url})


def is_quiet(client: httpx2.Client) -> bool:
    for progress in client.get("/api/v1/catalogue").json()["elements"]:
        if progress["element_id"] == ELEMENT:
            return bool(progress["state"] == "following" and progress["behind"] == 0)
    return False


def test_the_whole_way(admin: Admin, pki: Pki, root: Path) -> None:
    with admin.as_account() as client:
        with element(pki, root) as storage:
            register(client, storage.url)
            kept = [upload(pki, storage, f"файл\0 {n}.txt", tags=["t"]) for n in range(20)]
            wait_until(lambda: len(rows(admin)) == 20, "the files being found")
            changed = client.patch(f"/api/v1/files/{kept[0]['file_id']}", json={"tags": ["new"]})
            assert changed.status_code == 200, changed.text
            gone = client.delete(f"/api/v1/files/{kept[1]['file_id']}")
            assert gone.json()["deleted"]["by"] == "cli"
            young = upload(pki, storage, "young.txt")
            at_once = client.patch(f"/api/v1/files/{young['file_id']}", json={"tags": ["quick"]})
            assert at_once.status_code == 200, at_once.text
            wait_until(lambda: is_quiet(client), "the catalogue catching up")
            os.kill(storage.pid, signal.SIGKILL)
        before = rows(admin)
        assert [row["state"] for row in before].count("deleted") == 1

        with element(pki, root) as storage:
            register(client, storage.url)
            upload(pki, storage, "after the crash.txt")
            wait_until(lambda: len(rows(admin)) == 22, "the file being found")
            after = rows(admin)
            assert after[:21] == before
            rebuild_gives(admin, client, after)
    with psycopg.connect(admin.installation.database.url) as connection:
        connection.execute("DELETE FROM catalogue.elements WHERE element_id = %s", (ELEMENT,))
        connection.execute("DELETE FROM catalogue.files WHERE element_id = %s", (ELEMENT,))


def rebuild_gives(admin: Admin, client: httpx2.Client, expected: list[Any]) -> None:
    with psycopg.connect(admin.installation.database.url, autocommit=True) as connection:
        connection.execute("DELETE FROM catalogue.files WHERE element_id = %s", (ELEMENT,))
    client.post("/api/v1/catalogue/rebuild", json={"from_scratch": False})
    wait_until(lambda: len(rows(admin)) == len(expected) and is_quiet(client), "the rebuild")
    assert rows(admin) == expected
