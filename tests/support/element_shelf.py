"""Real storage elements beside a real admin module, and what lies where."""

import contextlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psutil
import psycopg
from psycopg.rows import dict_row
from tests.support.admin import Admin
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.places import in_place
from tests.support.processes import short_folder, wait_until

from artstore.core.model.ids import FileIdSource
from artstore.core.tls import client_context

IDS = FileIdSource()


@dataclass
class Element:
    element_id: str
    root: Path
    process: ModuleProcess

    @property
    def data(self) -> Path:
        return self.root / self.element_id

    def content(self, file_id: str) -> list[Path]:
        found = (self.data / "data").rglob(f"{file_id}*")
        return [path for path in found if not path.name.endswith(".attr.json")]


@dataclass
class Shelf:
    """Elements of a mode of their own, so that tests do not disturb each other."""

    admin: Admin
    pki: Pki
    root: Path
    http: Any
    ingester: httpx2.Client
    collection: str
    elements: dict[str, Element] = field(default_factory=dict)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    stops: dict[str, contextlib.ExitStack] = field(default_factory=dict)

    def start(self, element_id: str, mode: str = "edit", **more: object) -> Element:
        settings = {
            **more,
            "ELEMENT_ID": element_id,
            "ROOT": self.root / element_id,
            "MODE": mode,
        }
        (self.root / element_id).mkdir(exist_ok=True)
        stop = self.stops[element_id] = contextlib.ExitStack()
        self.stack.push(stop)
        running = module_process("storage", self.pki, settings, element_id)
        element = Element(element_id, self.root, stop.enter_context(running))
        self.elements[element_id] = element
        self._register(element)
        return element

    def stop(self, element: Element) -> None:
        """Like the power: nobody says farewell."""
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(element.process.pid).kill()
        self.stops[element.element_id].close()

    def _register(self, element: Element) -> None:
        body = {"element_id": element.element_id, "url": element.process.url}
        path = "/api/v1/storage-elements"
        if self.http.post(path, json=body).status_code == 409:
            self.http.patch(f"{path}/{element.element_id}", json={"url": element.process.url})

    def want_copies(self, copies: int) -> None:
        path = "/api/v1/collections"
        body = {"collection": self.collection, "copies": copies}
        if self.http.post(path, json=body).status_code == 409:
            changed = self.http.patch(f"{path}/{self.collection}", json={"copies": copies})
            assert changed.status_code == 200, changed.text

    def upload(self, element: Element, content: bytes, **draft: Any) -> str:
        uploader = {"subject": "account:1", "name": "cli", "via": "ingester-1"}
        head = {"original_filename": "a.txt", "collection": self.collection, **draft}
        encoded = json.dumps({**head, "uploaded_by": uploader}).encode()
        file_id = IDS.new(datetime.now(UTC), os.urandom(10))
        stored = self.ingester.put(
            f"{element.process.url}/api/v1/files/{file_id}",
            content=struct.pack(">I", len(encoded)) + encoded + content,
            headers={"Content-Type": "application/vnd.artstore.file"},
        )
        assert stored.status_code == 201, stored.text
        return file_id

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.admin.installation.database.url, row_factory=dict_row) as db:
            return db.execute(statement, values).fetchall()

    def copies(self, file_id: str) -> dict[str, tuple[str, int]]:
        statement = "SELECT element_id, state, revision FROM catalogue.copies WHERE file_id = %s"
        rows = self.query(statement, file_id)
        return {row["element_id"]: (row["state"], row["revision"]) for row in rows}

    def has(self, file_id: str, expected: dict[str, tuple[str, int]]) -> None:
        wait_until(lambda: self.copies(file_id) == expected, f"{expected}")

    def served_from(self, file_id: str) -> str:
        (row,) = self.query("SELECT element_id FROM catalogue.files WHERE file_id = %s", file_id)
        return str(row["element_id"])

    def on_disk(self, element: Element, file_id: str) -> tuple[bytes, bytes]:
        """The content and the attr.json as they lie there."""
        attr = in_place(element.data / "data", file_id)
        (content,) = element.content(file_id)
        return content.read_bytes(), attr.read_bytes()

    def status(self, element: Element) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/storage-elements/{element.element_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, element: Element, what: str, body: dict[str, Any]) -> Any:
        return self.http.post(f"/api/v1/storage-elements/{element.element_id}/{what}", json=body)


@contextlib.contextmanager
def element_shelf(admin: Admin, pki: Pki) -> Iterator[Shelf]:
    """Empty; its elements are killed and forgotten at the end."""
    ingester = httpx2.Client(verify=client_context(pki.files("ingester")))
    with short_folder() as folder, admin.as_account() as http, ingester:
        shelf = Shelf(admin, pki, folder, http, ingester, f"c-{uuid4().hex[:8]}")
        try:
            with shelf.stack:
                yield shelf
                for element in shelf.elements.values():
                    shelf.stop(element)
        finally:
            with psycopg.connect(admin.installation.database.url) as db:
                for table in ("files", "copies", "restores", "elements"):
                    statement = f"DELETE FROM catalogue.{table} WHERE element_id = ANY(%s)"
                    db.execute(statement, (list(shelf.elements),))
                db.execute("DELETE FROM catalogue.copies_due")
