"""One suite for everything that a log can lie in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.transparency import FolderFs, folder_store

from artstore.core.tlog.errors import LogStopped, ObjectConflict, ObjectMissing
from artstore.core.tlog.folder import ASIDE, FolderStore
from artstore.core.tlog.store import LogStore, MemoryStore


def _simulated(_: Path) -> LogStore:
    return folder_store(Path("/log"), FolderFs({"/log": None}))


STORES: dict[str, Callable[[Path], LogStore]] = {
    "memory": lambda _: MemoryStore(),
    "folder": FolderStore,
    "simulated": _simulated,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    return STORES[request.param](tmp_path)


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
