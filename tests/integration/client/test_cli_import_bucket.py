"""`artstore import bucket`, from a real S3 store."""

import csv
import hashlib
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import obstore
import pytest
from obstore.store import S3Store
from tests.integration.client.conftest import Artstore, Ran
from tests.integration.client.fake_artstore import FakeArtStore
from tests.integration.client.test_cli_put import FILES
from tests.support.seaweedfs import CREDENTIALS, SeaweedFs

from artstore.cli.import_bucket import evidence
from artstore.client.bodies import SMALL_BYTES_MAX
from artstore.core.errors import DigestMismatch, SizeMismatch

LARGE = os.urandom(3 * SMALL_BYTES_MAX)
OBJECTS = {"a.txt": b"a", "папка/файл 1.pdf": b"%PDF", "d/large.bin": LARGE}


@pytest.fixture
def source(
    seaweedfs: SeaweedFs, bucket: str, prefixes: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """Its address."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secret_key)
    prefix = next(prefixes)
    store = S3Store(
        bucket,
        endpoint=seaweedfs.endpoint,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    for key, content in OBJECTS.items():
        obstore.put(store, f"{prefix}/{key}", content, use_multipart=False)
    return f"s3://{bucket}/{prefix}"


def test_each_object_is_imported_once_and_proven(
    artstore: Artstore, fake: FakeArtStore, seaweedfs: SeaweedFs, source: str, tmp_path: Path
) -> None:
    def run(*more: str) -> Ran:
        place = ["--endpoint", seaweedfs.endpoint, "--report", tmp_path / "report", "--json"]
        return artstore("import", "bucket", source, *place, "--collection", "moved", *more)

    dry = run("--dry-run")
    assert len(dry.objects) == 3
    assert fake.seen == []
    ran = run()
    again = run()

    assert (ran.code, again.code) == (0, 0), ran.err
    assert len(fake.requests("POST", FILES)) == 3
    prefix = source.split("/", 3)[3]
    with (tmp_path / "report/summary.csv").open(newline="") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    assert set(rows) == {f"{prefix}/{key}" for key in OBJECTS}
    for key, content in OBJECTS.items():
        row = rows[f"{prefix}/{key}"]
        assert row["source_sha256"] == row["stored_sha256"] == hashlib.sha256(content).hexdigest()
        stored = fake.files[row["file_id"]]
        assert stored.content == content
        assert stored.record["original_filename"] == key.rpartition("/")[2]
        assert stored.record["metadata"] == {"path": f"{prefix}/{key}"}
        assert stored.record["collection"] == "moved"
    assert all(line["e_tag_compared"] for line in ran.objects)


class OddBucket(BaseHTTPRequestHandler):
    """A bucket with what S3 can hold and our real store cannot."""

    keys: tuple[str, ...] = ()

    def do_GET(self) -> None:
        content = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{hashlib.md5().hexdigest()}"</ETag><Size>0</Size></Contents>'
            for key in self.keys
        )
        if "list-type" in self.path:
            self._answer(200, f"<ListBucketResult>{content}</ListBucketResult>")
        else:
            self.do_HEAD()

    def do_HEAD(self) -> None:
        key = unquote(self.path).partition("/odd/")[2]
        self._answer(200 if key in self.keys else 404, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("ETag", f'"{hashlib.md5().hexdigest()}"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def odd_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secret_key)
    with ThreadingHTTPServer(("127.0.0.1", 0), OddBucket) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_folders_that_are_objects_are_passed_over(
    artstore: Artstore, fake: FakeArtStore, odd_bucket: str, tmp_path: Path
) -> None:
    OddBucket.keys = ("a/", "a/empty.txt", "b c/")

    ran = artstore(
        "import", "bucket", "s3://odd", "--endpoint", odd_bucket, "--report", tmp_path / "report"
    )

    assert ran.code == 0, ran.err
    assert [each.record["original_filename"] for each in fake.files.values()] == ["empty.txt"]
    assert "skipped: a/: " in ran.err
    assert "skipped: b c/: " in ran.err


def test_a_name_that_cannot_be_asked_for_is_named(
    artstore: Artstore, fake: FakeArtStore, odd_bucket: str, tmp_path: Path
) -> None:
    OddBucket.keys = ("a//b",)

    ran = artstore(
        "import", "bucket", "s3://odd", "--endpoint", odd_bucket, "--report", tmp_path / "report"
    )

    assert ran.code == 1
    assert "import other folders alone" in ran.err
    assert "a//b" in ran.err


def test_a_bucket_that_cannot_be_read_is_said(
    artstore: Artstore, seaweedfs: SeaweedFs, source: str, tmp_path: Path
) -> None:
    place = ["--endpoint", seaweedfs.endpoint, "--report", tmp_path / "report"]

    ran = artstore("import", "bucket", "s3://nothing-here", *place)

    assert ran.code == 1
    assert "the bucket cannot be read" in ran.err
    assert artstore("import", "bucket", "nothing-here", *place).code == 2


@pytest.mark.parametrize("e_tag", [hashlib.md5(b"other").hexdigest(), '"no-md5-2"'])
def test_an_etag_that_says_something_else_is_noticed(e_tag: str) -> None:
    if e_tag.startswith('"'):
        assert evidence(1, e_tag, b"x") == {"e_tag": e_tag, "e_tag_compared": False}
        return
    with pytest.raises(DigestMismatch):
        evidence(1, e_tag, b"x")
    with pytest.raises(SizeMismatch):
        evidence(2, e_tag, b"x")
