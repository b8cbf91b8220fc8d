"""One suite for everything that a log can lie in."""

import gzip
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.log_buckets import WormBucket, open_bucket
from tests.support.seaweedfs import SeaweedFs
from tests.support.transparency import LOG_KEY, ORIGIN, T0, FolderFs, entry, folder_store, make_log

from artstore.core.tlog.bucket import BucketStore
from artstore.core.tlog.errors import DamagedLog, LogStopped, ObjectConflict, ObjectMissing
from artstore.core.tlog.folder import ASIDE, FolderStore
from artstore.core.tlog.inspection import inspect_log
from artstore.core.tlog.log import Log
from artstore.core.tlog.split import SplitStore
from artstore.core.tlog.store import LogStore, MemoryStore


def _simulated(_: Path) -> LogStore:
    return folder_store(Path("/log"), FolderFs({"/log": None}))


BUCKET = "log"

STORES: dict[str, Callable[[Path], LogStore]] = {
    "memory": lambda _: MemoryStore(),
    "folder": FolderStore,
    "simulated": _simulated,
    "split": lambda folder: SplitStore(FolderStore(folder), MemoryStore()),
}


@pytest.fixture(scope="module")
def endpoint(seaweedfs: SeaweedFs) -> str:
    seaweedfs.make_bucket(BUCKET)
    return seaweedfs.endpoint


@pytest.fixture(params=[*STORES, "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    if request.param == "bucket":
        return new_bucket(request.getfixturevalue("endpoint"))
    return STORES[request.param](tmp_path)


def new_bucket(endpoint: str) -> BucketStore:
    return BucketStore(open_bucket(endpoint, BUCKET, secrets.token_hex(8)))


def test_what_is_published_can_be_read(store: LogStore) -> None:
    store.publish({"tile/0/x001/000": b"one", "tile/0/000.p/5": b"two", "empty": b""})

    assert store.read("tile/0/x001/000") == b"one"
    assert store.read("tile/0/000.p/5") == b"two"
    assert store.read("empty") == b""


def test_publishing_the_same_again_is_no_conflict(store: LogStore) -> None:
    store.publish({"a": b"same"})
    store.publish({"a": b"same", "b": b"new"})

    assert store.read("b") == b"new"


def test_published_bytes_never_change(store: LogStore) -> None:
    store.publish({"a": b"first"})

    with pytest.raises(ObjectConflict):
        store.publish({"a": b"second"})

    assert store.read("a") == b"first"


@pytest.mark.parametrize("path", ["nothing", "no/folder/here", "a/below"])
def test_what_is_not_there_is_missing(store: LogStore, path: str) -> None:
    store.publish({"a": b"a file"})

    with pytest.raises(ObjectMissing):
        store.read(path)


def test_what_may_change_is_replaced(store: LogStore) -> None:
    store.replace("checkpoint", b"old")
    store.replace("checkpoint", b"new")

    assert store.read("checkpoint") == b"new"


def test_a_folder_is_listed(store: LogStore) -> None:
    store.publish({"f/1": b"", "f/2": b"", "f/sub/3": b""})

    assert sorted(store.names("f")) == ["1", "2", "sub"]
    assert store.names("nowhere") == []


def test_a_folder_is_removed_and_may_come_again(store: LogStore) -> None:
    store.publish({"f.p/1": b"", "f.p/2": b"", "f": b"full"})
    store.remove_folder("f.p")
    store.remove_folder("f.p")

    assert store.names("f.p") == []
    assert store.read("f") == b"full"
    store.publish({"f.p/1": b"again"})
    assert store.read("f.p/1") == b"again"


def test_what_is_set_aside_frees_its_name(store: LogStore) -> None:
    for content in (b"one", b"two"):
        store.publish({"tile/0/000.p/3": content})
        store.set_aside("tile/0/000.p/3")
    store.set_aside("tile/0/000.p/3")

    with pytest.raises(ObjectMissing):
        store.read("tile/0/000.p/3")


def test_a_folder_keeps_all_that_was_set_aside(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for content in (b"one", b"two"):
        store.publish({"tile/0/000.p/3": content})
        store.set_aside("tile/0/000.p/3")

    assert {path.read_bytes() for path in (tmp_path / ASIDE).iterdir()} == {b"one", b"two"}


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first = FolderStore(tmp_path).lock()

    with pytest.raises(LogStopped, match="another process"):
        FolderStore(tmp_path).lock()

    first.close()
    FolderStore(tmp_path).lock().close()


def test_a_temporary_file_that_is_a_published_file_too_is_not_written_into(tmp_path: Path) -> None:
    """As a crash between link and unlink leaves it."""
    store = FolderStore(tmp_path)
    store.publish({"a": b"published"})
    (tmp_path / ".incoming-a").hardlink_to(tmp_path / "a")

    with pytest.raises(ObjectConflict):
        store.publish({"a": b"other"})

    assert store.read("a") == b"published"


def test_full_entry_bundles_are_compressed_in_a_folder_and_read_as_they_were(
    tmp_path: Path,
) -> None:
    store, text = FolderStore(tmp_path), b"the same again " * 1000
    paths = ("tile/entries/x001/234", "tile/entries/000.p/9", "tile/0/000")
    store.publish(dict.fromkeys(paths, text))

    packed = tmp_path / "tile/entries/x001/234.gz"
    assert packed.stat().st_size < len(text) / 20
    assert gzip.decompress(packed.read_bytes()) == text
    assert [(tmp_path / path).read_bytes() for path in paths[1:]] == [text] * 2
    assert {store.read(path) for path in paths} == {text}
    assert store.names("tile/entries/x001") == ["234"]
    store.publish({paths[0]: text})
    with pytest.raises(ObjectConflict):
        store.publish({paths[0]: b"other"})
    store.set_aside(paths[0])
    assert store.names("tile/entries/x001") == []


def test_a_folder_from_before_compression_is_gone_on_with(tmp_path: Path) -> None:
    log = make_log(FolderStore(tmp_path))
    log.append([entry(number) for number in range(600)], T0)
    for packed in list(tmp_path.glob("tile/entries/*.gz")):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()

    again = Log.open(FolderStore(tmp_path), ORIGIN, [LOG_KEY])
    again.append([entry(number) for number in range(600, 900)], T0)

    assert list(inspect_log(again.reader())) == []
    assert sorted(path.name for path in tmp_path.glob("tile/entries/0??*") if path.is_file()) == [
        "000",
        "001",
        "002.gz",
    ]
    store = FolderStore(tmp_path)
    with pytest.raises(ObjectConflict):
        store.publish({"tile/entries/000": b"other"})
    assert not (tmp_path / "tile/entries/000.gz").exists()


def test_a_damaged_bundle_is_said_to_be_one(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.publish({"tile/entries/000": b"text" * 100})
    path = tmp_path / "tile/entries/000.gz"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-5])

    with pytest.raises(DamagedLog, match="cannot be unpacked"):
        store.read("tile/entries/000")


class TestBucket:
    def test_full_entry_bundles_are_compressed_and_nothing_else(self, endpoint: str) -> None:
        raw = open_bucket(endpoint, BUCKET, "compressed")
        store = BucketStore(raw)
        text = b"the same again " * 1000
        paths = ("tile/entries/x001/234", "tile/entries/000.p/9", "tile/0/000")
        store.publish(dict.fromkeys(paths, text))

        sizes = [raw.head(path)["size"] for path in paths]
        assert sizes[0] < len(text) / 20
        assert sizes[1:] == [len(text)] * 2
        assert raw.get(paths[0]).attributes["Content-Encoding"] == "gzip"
        assert {store.read(path) for path in paths} == {text}
        store.publish({paths[0]: text})

    def test_of_two_writers_the_second_is_stopped(self, endpoint: str) -> None:
        place = open_bucket(endpoint, BUCKET, "fenced")
        first, second = BucketStore(place).lock(), BucketStore(place).lock()
        log = make_log(first)
        log.append([entry(0)], T0)
        other = Log.open(second, ORIGIN, [LOG_KEY])
        other.append([entry(1)], T0)

        with pytest.raises(ObjectConflict):
            log.append([entry(2)], T0)

        with pytest.raises(LogStopped):
            log.append([entry(2)], T0)
        assert list(other.reader().entries(0, 2)) == [entry(0), entry(1)]

    def test_a_store_that_is_away_is_a_failure_of_the_disk(self) -> None:
        away = BucketStore(open_bucket("http://127.0.0.1:9", BUCKET, "away"))

        with pytest.raises(OSError, match="the bucket of the log"):
            away.read("checkpoint")
        with pytest.raises(OSError, match="the bucket of the log"):
            away.publish({"tile/0/000": b"x"})


def test_a_log_grows_the_same_wherever_it_lies(endpoint: str, tmp_path: Path) -> None:
    places = {
        "folder": FolderStore(tmp_path / "one"),
        "bucket": new_bucket(endpoint),
        "split": SplitStore(FolderStore(tmp_path / "two"), new_bucket(endpoint)),
    }
    roots = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    for store in places.values():
        log = make_log(store)
        for start in range(0, 1100, 275):
            log.append([entry(number) for number in range(start, start + 275)], T0)
            log = Log.open(store, ORIGIN, [LOG_KEY], size_min=start + 275)
        assert list(inspect_log(log.reader())) == []
        assert log.reader().entry(700) == entry(700)
        assert log.reader().inclusion_proof(700)
        roots.add(log.checkpoint.root)

    assert len(roots) == 1
    assert not (tmp_path / "two" / "tile" / "0" / "000").exists()
    assert (tmp_path / "two" / "tile" / "0" / "004.p").exists()


def test_what_is_final_cannot_be_removed_from_a_bucket_with_object_lock(
    seaweedfs: SeaweedFs, tmp_path: Path
) -> None:
    worm = WormBucket(seaweedfs, "log-worm")
    final = BucketStore(open_bucket(seaweedfs.endpoint, "log-worm", "audit"))
    store = SplitStore(FolderStore(tmp_path), final)
    log = make_log(store)
    for start in range(0, 600, 200):
        log.append([entry(number) for number in range(start, start + 200)], T0)

    for path in ("tile/0/000", "tile/entries/001"):
        assert worm.delete_for_good(f"audit/{path}") == 403
        with pytest.raises(ObjectConflict):
            final.publish({path: b"another history"})
    assert sorted(final.names("tile/0")) == ["000", "001"]
    # Even what a crash left can make room: the name is freed, the locked version stays.
    final.set_aside("tile/0/001")
    with pytest.raises(ObjectMissing):
        final.read("tile/0/001")
    final.publish({"tile/0/001": (tmp_path / "checkpoint").read_bytes()})


class Dying(SplitStore):
    """A process that ends just before the checkpoint is replaced."""

    def replace(self, path: str, data: bytes) -> None:
        raise ConnectionAbortedError(path)


@pytest.mark.parametrize("place", ["bucket", "folder and bucket"])
def test_what_was_written_before_its_checkpoint_is_set_aside(
    endpoint: str, tmp_path: Path, place: str
) -> None:
    final = new_bucket(endpoint)
    changing = FolderStore(tmp_path) if place == "folder and bucket" else final
    log = make_log(SplitStore(changing, final))
    log.append([entry(number) for number in range(200)], T0)
    dying = Log.open(Dying(changing, final), ORIGIN, [LOG_KEY])
    with pytest.raises(ConnectionAbortedError):
        dying.append([entry(number, "never promised") for number in range(200, 700)], T0)
    assert final.names("tile/entries")

    log = Log.open(SplitStore(changing, final), ORIGIN, [LOG_KEY], size_min=200)
    log.append([entry(number) for number in range(200, 600)], T0)

    assert list(inspect_log(log.reader())) == []
    assert list(log.reader().entries(0, 600)) == [entry(number) for number in range(600)]
    assert any(name.startswith("tile_entries_000~") for name in final.names(ASIDE))


def test_a_log_that_was_given_a_second_place_is_read_from_both(tmp_path: Path) -> None:
    folder = FolderStore(tmp_path)
    log = make_log(folder)
    log.append([entry(number) for number in range(300)], T0)
    lasting = MemoryStore()

    log = Log.open(SplitStore(folder, lasting), ORIGIN, [LOG_KEY])
    log.append([entry(number) for number in range(300, 600)], T0)

    assert list(log.reader().entries(0, 600)) == [entry(number) for number in range(600)]
    assert set(lasting.objects) == {"tile/0/001", "tile/entries/001"}
