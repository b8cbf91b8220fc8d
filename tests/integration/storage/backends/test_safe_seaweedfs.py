"""Goal: the configuration of docs/operations/s3.md makes an acknowledged PUT durable, and the
default one does not. So the document does not promise what nobody looked at.

Method: a real SeaweedFS whose filer keeps its names in a real PostgreSQL; strace counts the
flushes of its volume while one object is put.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import psycopg
import pytest
from obstore.exceptions import GenericError
from obstore.store import S3Store
from tests.support.postgres import TestDatabase
from tests.support.processes import short_folder, wait_until
from tests.support.seaweedfs import SeaweedFs, seaweedfs_process

from artstore.core.clock import SystemClock
from artstore.storage.engine.backends.contract import Contract
from artstore.storage.engine.backends.s3 import s3_bucket, s3_store

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None or os.geteuid() != 0,
    reason="needs strace, and the right to look at another process",
)

FILER = """
[postgres2]
enabled = true
hostname = "{host}"
port = 5432
username = "{user}"
password = "{password}"
database = "{database}"
schema = "public"
sslmode = "disable"
createTable = '''
  CREATE TABLE IF NOT EXISTS "%s" (
    dirhash BIGINT, name VARCHAR(65535), directory VARCHAR(65535), meta bytea,
    PRIMARY KEY (dirhash, name)
  );
'''
"""


@pytest.fixture(scope="module")
def database(make_database: Callable[[str], TestDatabase]) -> TestDatabase:
    return make_database("filer")


@pytest.fixture(scope="module")
def safe(database: TestDatabase) -> Iterator[SeaweedFs]:
    with psycopg.connect(database.url) as connection, short_folder() as folder:
        info = connection.info
        (folder / "filer.toml").write_text(
            FILER.format(
                host=info.host,
                user=info.user,
                password=database.admin_password,
                database=info.dbname,
            )
        )
        with seaweedfs_process(folder) as weed:
            weed.make_bucket("elements")
            weed.shell("fs.configure -locationPrefix=/buckets/elements/ -fsync -apply")
            weed.make_bucket("careless")
            yield weed


def flushes_of_a_put(weed: SeaweedFs, bucket: str, name: str, trace: Path) -> int:
    store = s3_store(weed.options(bucket))
    obstore.put(store, f"{name}-first", b"makes the volumes")
    calls = "trace=fsync,fdatasync,sync_file_range,syncfs"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace), "-p", str(weed.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        obstore.put(store, name, os.urandom(20_000))
        strace.send_signal(signal.SIGINT)
    return sum(".dat" in line for line in trace.read_text().splitlines())


def test_a_put_is_flushed(safe: SeaweedFs, tmp_path: Path) -> None:
    assert flushes_of_a_put(safe, "elements", "document", tmp_path / "trace") >= 1


def test_without_the_setting_it_is_not(safe: SeaweedFs, tmp_path: Path) -> None:
    assert flushes_of_a_put(safe, "careless", "document", tmp_path / "trace") == 0


def test_names_are_in_the_database(safe: SeaweedFs, database: TestDatabase) -> None:
    obstore.put(s3_store(safe.options("elements")), "named", b"content")
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("""SELECT count(*) FROM "elements" WHERE name = 'named'""")
        assert rows.fetchone() == (1,)


def test_it_keeps_the_contract(safe: SeaweedFs) -> None:
    Contract(s3_bucket(safe.options("elements"), SystemClock()), SystemClock()).check()


def test_what_was_put_survives_a_kill(safe: SeaweedFs, database: TestDatabase) -> None:
    store = s3_store(safe.options("elements"))
    content = {f"kept-{number}": os.urandom(3000) for number in range(20)}
    for name, data in content.items():
        obstore.put(store, name, data)
    safe.kill()
    wait_until(lambda: not safe.answers(), "the end of the server")
    with seaweedfs_process(safe.folder, safe):
        # Its volumes register with its master some time after it answers.
        wait_until(lambda: _can_be_read(store, "kept-0"), "the store's volumes")
        for name, data in content.items():
            assert bytes(obstore.get(store, name).bytes()) == data


def _can_be_read(store: S3Store, name: str) -> bool:
    try:
        obstore.get(store, name)
    except GenericError:
        return False
    return True
