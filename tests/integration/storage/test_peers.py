"""Who may do what on an element: mutual TLS, and the peer's module for each route."""

import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.storage_process import FRAME, HEAD, framed, new_id

from artstore.core.model.batch import BATCH_TYPE, pack_file
from artstore.core.tls import TlsFiles, client_context, server_name

MODULES = ["ingester", "admin", "query", "edge", "monitoring", "storage"]
ALLOWED = {
    ("PUT", "/files/{id}"): {"ingester", "admin"},
    ("GET", "/files"): {"admin", "query"},
    ("GET", "/files/{id}"): {"admin", "ingester", "query", "storage"},
    ("GET", "/files/{id}/content"): {"admin", "query", "storage"},
    ("HEAD", "/files/{id}/content"): {"admin", "query", "storage"},
    ("PATCH", "/files/{id}"): {"admin"},
    ("DELETE", "/files/{id}"): {"admin"},
    ("GET", "/changes"): {"admin", "query"},
    ("POST", "/copies"): {"admin"},
    ("GET", "/info"): {"admin", "ingester", "query", "storage", "monitoring"},
    ("POST", "/mode"): {"admin"},
    ("GET", "/scrub"): {"admin", "monitoring"},
    ("POST", "/scrub"): {"admin"},
    ("POST", "/files:batch"): {"ingester", "admin"},
}
BODIES = {
    "PATCH": {"json": {"tags": ["a"]}},
    "DELETE": {"json": {"by": "a", "reason": "b"}},
    "POST /mode": {"json": {"mode": "edit", "by": "a"}},
    "POST /files:batch": {
        "data": pack_file(new_id(), json.dumps(HEAD).encode(), None, b"x"),
        "headers": {"Content-Type": BATCH_TYPE},
    },
    "POST /scrub": {"json": {"action": "start"}},
    "POST /copies": {
        "json": {"source_url": "https://127.0.0.1:1", "files": [new_id()], "purpose": "copy"}
    },
}


@pytest.fixture(scope="module")
def element(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleProcess]:
    root: Path = tmp_path_factory.mktemp("peers") / "element"
    settings = {"ELEMENT_ID": "edit-1", "ROOT": root}
    with module_process("storage", pki, settings) as process:
        yield process


async def status(element: ModuleProcess, tls: TlsFiles, method: str, path: str) -> int:
    fields = dict(BODIES.get(f"{method} {path}", BODIES.get(method, {})))
    if method == "PUT":
        fields = {"data": framed(b"x"), "headers": FRAME}  # type: ignore[dict-item]
    async with (
        aiohttp.ClientSession() as http,
        http.request(
            method,
            f"{element.url}/api/v1{path}",
            ssl=client_context(tls),
            server_hostname=server_name("storage"),
            **fields,  # type: ignore[arg-type]
        ) as answer,
    ):
        return answer.status


@pytest.mark.parametrize("module", MODULES)
async def test_each_route_answers_to_its_peers_only(
    element: ModuleProcess, pki: Pki, module: str
) -> None:
    for (method, template), allowed in ALLOWED.items():
        file_id = new_id()
        path = template.format(id=file_id)
        if method != "PUT":
            assert await status(element, pki.files("admin"), "PUT", f"/files/{file_id}") == 201
        answered = await status(element, pki.files(module), method, path)
        if module in allowed:
            assert answered in (200, 201), (method, template)
        else:
            assert answered == 403, (method, template)
