"""The three places where files may lie, each as the engine gets it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from tests.support.stepped_element import FixedClock, Ids

from artstore.storage.engine.backends.base import Backend
from artstore.storage.engine.backends.local import LocalBackend
from artstore.storage.engine.backends.objects import ObjectBackend
from artstore.storage.engine.backends.s3 import S3Options, s3_store
from artstore.storage.engine.fs import LocalFs, make_directories
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.placer import DirectPlacer


class TrustingGuard:
    """For a store that nobody else uses."""

    def check_contract(self) -> None:
        pass

    def tidy(self) -> None:
        pass


@dataclass
class Place:
    """`open` gives the same files to another process, so to say."""

    open: Callable[[], Backend]
    volume: Path
    """A folder on the volume of the element."""


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def ids(clock: FixedClock) -> Ids:
    return Ids(clock)


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    opened: list[Backend] = []
    make = _maker(request, tmp_path)

    def open_one() -> Backend:
        opened.append(make())
        return opened[-1]

    yield Place(open_one, tmp_path)
    for backend in opened:
        backend.close()


def _maker(request: pytest.FixtureRequest, root: Path) -> Callable[[], Backend]:
    if request.param == "local":
        return _local(root)
    if request.param == "memory":
        store = MemoryStore()
        return lambda: ObjectBackend(store, TrustingGuard(), concurrency=4, capacity_bytes=1 << 40)
    options: S3Options = request.getfixturevalue("bucket_options")
    # What the store has to promise is tested apart, once, and not before each test.
    return lambda: ObjectBackend(
        s3_store(options), TrustingGuard(), concurrency=4, capacity_bytes=1 << 40
    )


def _local(root: Path) -> Callable[[], Backend]:
    fs, layout = LocalFs(), Layout(str(root))
    for directory in (layout.data, layout.log, layout.staging):
        make_directories(fs, directory)
    volume = fs.open_directory(layout.root)
    return lambda: LocalBackend(fs, layout, DirectPlacer(fs), volume)
