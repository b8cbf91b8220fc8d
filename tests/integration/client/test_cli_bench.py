from tests.integration.client.conftest import Artstore
from tests.integration.client.fake_artstore import FakeArtStore, Fault

from artstore.cli.bench_ingest import percentile

FILES = "/api/v1/files"


def test_uploads_are_measured_and_deleted(artstore: Artstore, fake: FakeArtStore) -> None:
    fake.faults = [Fault("DELETE", FILES, 404, "unknown_file")]  # the catalogue is behind

    ran = artstore("bench", "ingest", "--files", "40", "--size", "1KiB", "--jobs", "4", "--json")

    assert ran.code == 0, ran.err
    (told,) = ran.objects
    assert (told["files"], told["deleted"], told["failed"]) == (40, 40, 0)
    assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["p100_ms"]
    assert told["files_per_s"] > 0
    assert len({stored.content for stored in fake.files.values()}) == 40
    assert all("deleted" in stored.record for stored in fake.files.values())
    assert all(len(stored.content) == 1024 for stored in fake.files.values())


def test_a_refused_upload_is_a_failure(artstore: Artstore, fake: FakeArtStore) -> None:
    fake.faults = [Fault("POST", FILES, 507, "no_room")]

    ran = artstore("bench", "ingest", "--files", "3", "--json")

    assert ran.code == 1
    assert (ran.objects[0]["files"], ran.objects[0]["failed"]) == (2, 1)
    assert "1 failed; the first: no_room" in ran.err
    assert all("deleted" in stored.record for stored in fake.files.values())


def test_what_cannot_be_deleted_is_said(artstore: Artstore, fake: FakeArtStore) -> None:
    fake.faults = [Fault("DELETE", FILES, 409, "retention_forbids")]

    ran = artstore("bench", "ingest", "--files", "3")

    assert ran.code == 1
    assert "1 files could not be deleted" in ran.err


def test_percentiles_are_values_that_were_met() -> None:
    assert percentile([], 50) is None
    assert percentile([1.0], 99) == 1.0
    assert percentile([float(number) for number in range(1, 101)], 99) == 99.0
    assert percentile([float(number) for number in range(1, 101)], 50) == 50.0
