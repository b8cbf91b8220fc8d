"""The audit log where it lies for decades: in buckets, one of them only added to, and with the
time stamps of an authority outside of the archive.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.admin import Admin, Installation, MakeDatabase
from tests.support.auditor import Auditor
from tests.support.log_buckets import open_bucket
from tests.support.pki import Pki
from tests.support.processes import short_folder, wait_until
from tests.support.seaweedfs import CREDENTIALS, SeaweedFs
from tests.support.timestamps import Authority
from tests.support.valkey import TestValkey

from artstore.core.audit.stamps import StampFolder, read_authorities
from artstore.core.audit.verification import verify_export
from artstore.core.private_files import write_private
from artstore.core.tlog.bucket import BucketStore

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@dataclass
class Places:
    installation: Installation
    authority: Authority
    settings: dict[str, object]
    work: BucketStore
    worm: BucketStore


@pytest.fixture(scope="module")
def places(
    make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki, seaweedfs: SeaweedFs
) -> Iterator[Places]:
    endpoint = seaweedfs.endpoint
    for name in ("audit-work", "audit-worm"):
        seaweedfs.make_bucket(name)
    with short_folder() as folder:
        installation = Installation(folder, make_database("places"), valkey_server, pki)
        installation.write()
        assert installation.prepare().returncode == 0
        keys = f"{CREDENTIALS.access_key}\n{CREDENTIALS.secret_key}\n"
        write_private(folder / "s3", keys)
        authority = Authority.make(folder / "tsa")
        with authority.serving() as url:
            settings = {
                "AUDIT_BUCKET": "s3://audit-work/log",
                "AUDIT_WORM_BUCKET": "s3://audit-worm/log",
                "AUDIT_S3_ENDPOINT": endpoint,
                "AUDIT_S3_CREDENTIALS_FILE": folder / "s3",
                "AUDIT_TIMESTAMP_URL": url,
                "AUDIT_TIMESTAMP_CA_FILE": authority.ca_file,
                "AUDIT_TIMESTAMP_INTERVAL_S": 10,
            }
            work, worm = (
                BucketStore(open_bucket(endpoint, name, "log"))
                for name in ("audit-work", "audit-worm")
            )
            yield Places(installation, authority, settings, work, worm)


def verified_export(admin: Admin, authority: Authority) -> tuple[int, int]:
    """Size of the log and of the newest state with a stamp."""
    with admin.as_account() as client:
        policy = Auditor(client).policy()
        export = client.get("/api/v1/audit/export").content
    found = verify_export(
        export.splitlines(keepends=True), policy, authorities=read_authorities(authority.ca_file)
    )
    return found.end, found.stamped.size


def _has_log(admin: Admin) -> bool:
    with admin.as_account() as client:
        status: int = client.get("/api/v1/audit/checkpoint").status_code
    return status == 200


def make_events(admin: Admin, count: int) -> None:
    with admin.as_account() as client:
        for _ in range(count):
            # That somebody took an export, even of nothing, is an event.
            assert client.get("/api/v1/audit/export", params={"end": 0}).status_code == 200


def test_a_log_in_buckets_is_stamped_exported_and_goes_on_after_a_restart(places: Places) -> None:
    stamps = StampFolder(places.worm)
    places.authority.away = True
    with places.installation.serve(**places.settings) as admin:
        wait_until(lambda: _has_log(admin), "the log")
        make_events(admin, 260)
        wait_until(lambda: "000" in places.worm.names("tile/0"), "a full tile")
        assert stamps.newest() is None
        places.authority.away = False
        wait_until(lambda: stamps.newest() is not None, "a time stamp")
        size, stamped = verified_export(admin, places.authority)
        assert 0 < stamped <= size
        assert size > 256

    with places.installation.serve(**places.settings) as admin:
        make_events(admin, 5)
        wait_until(lambda: verified_export(admin, places.authority)[0] > size, "further records")

    # What is final lies in one bucket, what changes in the other one, and nothing in the folder.
    assert places.worm.names("tile/entries") == ["000"]
    assert "checkpoint" not in places.worm.names("tile")
    assert places.work.read("checkpoint")
    assert "000" not in places.work.names("tile/0")
    assert not Path(places.installation.folder / "audit").exists()


def test_an_authority_without_certificates_is_refused_at_the_start(places: Places) -> None:
    wrong = {**places.settings, "AUDIT_TIMESTAMP_CA_FILE": "/nonexistent"}
    with pytest.raises(AssertionError, match="it ended with"), places.installation.serve(**wrong):
        pass
