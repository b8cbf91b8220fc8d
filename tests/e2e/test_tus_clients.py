"""Clients of other authors upload through the edge: tus-js-client and tuspy."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.stack import RunningStack
from tusclient.client import TusClient

from artstore.client import ArtStore

pytestmark = pytest.mark.stack

MIB = 1 << 20
SCRIPT = Path(__file__).parents[1] / "support" / "tus_js"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script with its packages, as `package-lock.json` has them."""
    folder = tmp_path_factory.mktemp("tus") / "js"
    shutil.copytree(SCRIPT, folder, ignore=shutil.ignore_patterns("node_modules"))
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run([BIN / "npm", "ci", "--silent"], cwd=folder, env=environment, check=True)
    return folder


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "protocol.bin"
    path.write_bytes(os.urandom(5 * MIB + 17))
    return path


class JavaScript:
    def __init__(self, folder: Path, stack: RunningStack, store: ArtStore) -> None:
        self._folder = folder
        self._endpoint = f"{stack.edge_url}/api/v1/uploads"
        self._store = store
        self._environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(stack.ca_file)}

    def upload(self, path: Path, *options: str) -> dict[str, Any]:
        command = [BIN / "node", "upload.js", self._endpoint, self._store.token(), path, *options]
        run = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        result: dict[str, Any] = json.loads(run.stdout)
        return result


@pytest.fixture
def javascript(node_folder: Path, stack: RunningStack, store: ArtStore) -> JavaScript:
    return JavaScript(node_folder, stack, store)


def check_stored(http: httpx2.Client, url: str, path: Path) -> None:
    file_id = url.rpartition("/")[2][:36]
    content = http.get(f"/api/v1/files/{file_id}/content")
    assert content.status_code == 200
    assert hashlib.sha256(content.content).digest() == hashlib.sha256(path.read_bytes()).digest()
    record = http.get(f"/api/v1/files/{file_id}").json()
    assert record["original_filename"] == "Протокол.bin"


@pytest.mark.parametrize("options", [(), ("--with-creation",)])
def test_tus_js_client(
    javascript: JavaScript, http: httpx2.Client, document: Path, options: tuple[str, ...]
) -> None:
    done = javascript.upload(document, *options)
    check_stored(http, done["url"], document)
    assert done["receipt"].count(".") == 2


def test_tus_js_client_goes_on_in_another_process(
    javascript: JavaScript, http: httpx2.Client, document: Path
) -> None:
    stopped = javascript.upload(document, "--stop-after", str(2 * MIB))
    assert stopped["accepted"] < document.stat().st_size
    done = javascript.upload(document, "--resume", stopped["url"])
    assert done["url"] == stopped["url"]
    check_stored(http, done["url"], document)


@pytest.fixture
def tuspy(stack: RunningStack, store: ArtStore, monkeypatch: pytest.MonkeyPatch) -> TusClient:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stack.ca_file))
    headers = {"Authorization": f"Bearer {store.token()}"}
    return TusClient(f"{stack.edge_url}/api/v1/uploads", headers=headers)


def test_tuspy_with_checksums(tuspy: TusClient, http: httpx2.Client, document: Path) -> None:
    # It leaves files that it opens itself open.
    with document.open("rb") as first, document.open("rb") as second:
        uploader = tuspy.uploader(
            file_stream=first,
            chunk_size=2 * MIB,
            metadata={"filename": "Протокол.bin"},
            upload_checksum=True,
        )
        uploader.upload_chunk()
        resumed = tuspy.uploader(file_stream=second, chunk_size=2 * MIB, url=uploader.url)
        assert resumed.get_offset() == 2 * MIB
        resumed.upload()
    assert resumed.url
    check_stored(http, resumed.url, document)
