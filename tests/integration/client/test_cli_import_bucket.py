"""`artstore import bucket`, from a real S3 store."""

import csv
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

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
