"""Single requests to an object store, many of them at once, and what they add up to."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from artstore.core.logging import get_logger
from artstore.storage.engine.backends.base import Item, Result, StoreAway
from artstore.storage.engine.backends.object_failures import reaching


class Requests:
    """Every call raises `StoreAway` when the store is."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def listed(self, folder: str, offset: str | None = None) -> Iterator[tuple[str, int]]:
        """Keys and sizes, in order, behind `offset`."""
        with reaching():
            for batch in obstore.list(self._store, folder, offset=offset, chunk_size=1000):
                for entry in batch:
                    yield entry["path"], entry["size"]

    def get(self, key: str) -> bytes:
        """Raises `FileNotFoundError`."""
        with reaching():
            return bytes(obstore.get(self._store, key).bytes())

    def put(self, key: str, data: bytes) -> None:
        with reaching():
            obstore.put(self._store, key, data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        """False if there is such an object already; it stays."""
        try:
            with reaching(AlreadyExistsError):
                obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def size(self, key: str) -> int | None:
        try:
            with reaching():
                return obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return None

    def remove(self, key: str) -> None:
        try:
            with reaching():
                obstore.delete(self._store, key)
        except FileNotFoundError:
            pass


class Used:
    """Bytes in the store: counted once in the background, then kept up to date."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_counted = False
        self.bytes = 0

    def add(self, size: int) -> None:
        with self._lock:
            self.bytes += size

    def count(self, sizes: Callable[[], Iterator[int]]) -> None:
        if not self._is_counted:
            self._is_counted = True
            counting = threading.Thread(target=self._count, args=(sizes,), daemon=True)
            counting.start()

    def _count(self, sizes: Callable[[], Iterator[int]]) -> None:
        try:
            self.add(sum(sizes()))
        except StoreAway as away:
            self._is_counted = False
            get_logger().warning("the files in the store were not counted", cause=str(away))


def at_once(
    pool: ThreadPoolExecutor,
    count: int,
    work: Callable[[Item], Result],
    items: Iterable[Item],
) -> Iterator[Result]:
    """Results in order; never more than `count` are begun ahead of the reader."""
    begun: deque[Future[Result]] = deque(maxlen=count)
    for item in items:
        if len(begun) == count:
            yield begun.popleft().result()
        begun.append(pool.submit(work, item))
    while begun:
        yield begun.popleft().result()
