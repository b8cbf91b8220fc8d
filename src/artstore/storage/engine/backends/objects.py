"""Files as objects of a store such as S3: `data/<hour>/<id>.pdf` and `...attr.json` beside it.

There is no renaming here and nothing is flushed: an object is there, whole and durable, or
it is not. So the content goes first and the attr.json after it; a file exists from the
moment its attr.json does. A content without one is what an interrupted upload left.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from obstore.store import ObjectStore

from artstore.core.errors import FileDamaged
from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId, is_file_id
from artstore.storage.engine import sidecar
from artstore.storage.engine.backends.base import (
    Incoming,
    Item,
    Placeable,
    Placing,
    Promises,
    Result,
    StoreAway,
)
from artstore.storage.engine.backends.object_content import (
    WHOLE_BYTES_MAX,
    ObjectContent,
    ObjectUpload,
    copy_object,
    open_object,
)
from artstore.storage.engine.backends.object_owner import ObjectOwner
from artstore.storage.engine.backends.object_quarantine import ObjectQuarantine
from artstore.storage.engine.backends.object_requests import Requests, Used, at_once
from artstore.storage.engine.fs import Volume
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import ATTR_SUFFIX, Layout
from artstore.storage.engine.record import RecordType

DATA_KEY: Final = "data"
_LISTED_PER_FILE_MAX: Final = 20
"""Where a listing would pass more names than this for each file of a group, single questions
cost less."""
_BEHIND: Final = "~"
"""Sorts behind every name that begins with the same id."""


class StoreGuard(Protocol):
    """What is peculiar to one kind of store."""

    def check_contract(self) -> None:
        """Raises `StoreAway` if the store does not do what we rely on."""
        ...

    def tidy(self) -> None:
        """The store is ours: remove what a process that was killed left half done."""
        ...


class ObjectBackend:
    """Implements `Backend`.

    Args:
        bulk: The same store for the parts of large contents, which take longer.
        concurrency: Requests at once, for writing and for reading each.
        capacity_bytes: How much the element may hold: a store does not say.
    """

    is_log_enough: Final = False

    def __init__(
        self,
        store: ObjectStore,
        guard: StoreGuard,
        *,
        concurrency: int,
        capacity_bytes: int,
        bulk: ObjectStore | None = None,
    ) -> None:
        self._store = store
        self._bulk = bulk or store
        self._guard = guard
        self._concurrency = concurrency
        self._capacity_bytes = capacity_bytes
        self._layout = Layout("")
        self._reading = ThreadPoolExecutor(concurrency, thread_name_prefix="store-reading")
        self._writing = ThreadPoolExecutor(concurrency, thread_name_prefix="store-writing")
        self._kept_history: set[str] | None = None
        self._history_folder = ""
        self._used = Used()
        self._requests = Requests(store)
        self._owner = ObjectOwner(store)
        self._unusable: str | None = "the object store was not reached yet"
        self.quarantine = ObjectQuarantine(store)

    # --- coming and going --------------------------------------------------------------

    def connect(self, element: ElementFile, *, is_new: bool) -> ElementFile:
        if self._unusable is None:
            self._owner.check(element)
            return element
        try:
            self._guard.check_contract()
            holds_files = next(self._requests.listed(DATA_KEY), None) is not None
            element = self._owner.claim(element, is_new=is_new, holds_files=holds_files)
            self._guard.tidy()
        except StoreAway as away:
            self._unusable = away.detail
            raise
        self._history_folder = f"log/{element.feed_id}"
        self._unusable = None
        self._used.count(self._sizes)
        return element

    def close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()

    # --- reading ----------------------------------------------------------------------

    def attr(self, file_id: FileId) -> bytes:
        self._check_connected()
        return self._requests.get(self._attr_key(file_id))

    def open(self, record: FileRecord) -> ObjectContent:
        self._check_connected()
        return open_object(self._store, self._content_key(record), record.size)

    def ids_after(self, after: FileId) -> Iterator[FileId]:
        self._check_connected()
        offset = self._key(after, after + _BEHIND) if after else None
        for key, _ in self._requests.listed(DATA_KEY, offset):
            name = key.rpartition("/")[2]
            if name.endswith(ATTR_SUFFIX) and is_file_id(name.removesuffix(ATTR_SUFFIX)):
                yield FileId(name.removesuffix(ATTR_SUFFIX))

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        return at_once(self._reading, self._concurrency, work, items)

    # --- writing ----------------------------------------------------------------------

    def existing(self, file_ids: Sequence[FileId]) -> Collection[FileId]:
        """One listing for the new files of an hour: their ids are the last ones in it."""
        self._check_connected()
        hours: dict[str, set[FileId]] = {}
        for file_id in file_ids:
            hours.setdefault(self._layout.directory(file_id)[1:], set()).add(file_id)
        found: set[FileId] = set()
        for hour, wanted in hours.items():
            found |= self._existing_of_hour(hour, wanted)
        return found

    def put_new(self, changes: Sequence[Placeable]) -> Placing:
        """At once: if the store is away, nothing more may be logged."""
        new = [
            change
            for change in changes
            if change.type is RecordType.CREATED and change.content is not None
        ]
        done = at_once(self._writing, self._concurrency, self._put_new, new)
        placed = {change.sequence for change, is_placed in zip(new, done, strict=True) if is_placed}
        return lambda: placed

    def replay(self, change: Placeable, *, verify: bool = True) -> None:
        self._check_connected()
        if not verify and change.type is RecordType.CREATED:
            self._bring_content(change)
            if self._create_attr(change):
                return
        present = self._record(change.record.file_id)
        if present is not None and present.revision > change.record.revision:
            return
        if change.type is RecordType.DELETED:
            # The tombstone first: content without it would look like damage.
            self._put_attr(change)
            self._remove_content(change)
            return
        self._bring_content(change)
        if present != change.record:
            self._put_attr(change)
        self._remove_former(change)

    # --- large contents ---------------------------------------------------------------

    def begin_upload(
        self,
        file_id: FileId,
        name: str,
        size: int | None,
        room: Promises,
        fail: Callable[[str, Exception], None],
    ) -> Incoming:
        """The bytes go to where they will be read; nobody sees them without an attr.json."""
        self._check_connected()
        room.promise(size or 0)
        return ObjectUpload(
            self._bulk,
            self._key(file_id, name),
            file_id=file_id,
            promised=size,
            release=room.release,
            may_remove=lambda: not self._refers(file_id, name),
        )

    def adopt(
        self,
        path: str,
        file_id: FileId,
        name: str,
        sha256: str,
        *,
        room: Promises,
        fail: Callable[[str, Exception], None],
    ) -> Incoming:
        with Path(path).open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            upload = self.begin_upload(file_id, name, size, room, fail)
            try:
                while block := source.read(WHOLE_BYTES_MAX):
                    upload.write(block)
            except BaseException:
                upload.abort()
                raise
        return upload

    def prepare(self, record: FileRecord, present_name: str) -> None:
        source, target = self._key(record.file_id, present_name), self._content_key(record)
        if source != target and self._requests.size(target) != record.size:
            file_id = record.file_id
            try:
                copy_object(
                    self._bulk,
                    source,
                    target,
                    file_id=file_id,
                    size=record.size,
                    sha256=record.sha256,
                )
            except (FileNotFoundError, FileDamaged) as error:
                # Then reading says so.
                get_logger().warning("logged content is gone", file_id=file_id, cause=str(error))

    # --- checkpoints ------------------------------------------------------------------

    def settle(self, element: ElementFile) -> None:
        """What was put is durable already. Here the element makes sure that it still is the
        one that writes here, and the store remembers its mode."""
        self._check_connected()
        self._owner.check(element)

    def drop_staged(self, covered: int) -> None:
        """Nothing is staged."""

    def keep_history(self, paths: Sequence[str], read: Callable[[str], bytes]) -> None:
        self._check_connected()
        if self._kept_history is None:
            self._kept_history = {
                _name(key) for key, _ in self._requests.listed(self._history_folder)
            }
        for path in paths:
            if _name(path) not in self._kept_history:
                self._requests.put(f"{self._history_folder}/{_name(path)}", read(path))
                self._kept_history.add(_name(path))

    def volume(self) -> Volume | None:
        used = self._used.bytes
        return Volume(self._capacity_bytes, used, max(0, self._capacity_bytes - used), 0)

    # --- inside -----------------------------------------------------------------------

    def _check_connected(self) -> None:
        if self._unusable is not None:
            raise StoreAway(self._unusable)

    def _existing_of_hour(self, hour: str, wanted: set[FileId]) -> set[FileId]:
        first, last = min(wanted), max(wanted)
        found: set[FileId] = set()
        for passed, (key, _) in enumerate(self._requests.listed(hour, f"{hour}/{first}")):
            name = _name(key)
            if name > last + _BEHIND:
                return found
            if (file_id := FileId(name.removesuffix(ATTR_SUFFIX))) in wanted:
                found.add(file_id)
            if passed > _LISTED_PER_FILE_MAX * len(wanted) + 1000:
                unknown = [file_id for file_id in wanted if file_id >= name]
                return found | set(self._asked_one_by_one(unknown))
        return found

    def _asked_one_by_one(self, file_ids: Sequence[FileId]) -> Iterator[FileId]:
        sizes = at_once(
            self._writing,
            self._concurrency,
            lambda i: self._requests.size(self._attr_key(i)),
            file_ids,
        )
        return (file_id for file_id, size in zip(file_ids, sizes, strict=True) if size is not None)

    def _put_new(self, change: Placeable) -> bool:
        """False if there is an attr.json already: `replay` looks what it is."""
        self._check_connected()
        assert change.content is not None
        self._requests.put(self._content_key(change.record), change.content)
        return self._create_attr(change)

    def _bring_content(self, change: Placeable) -> None:
        """To its name; what is whole there already stays."""
        record = change.record
        if change.content is not None:
            key = self._content_key(record)
            if self._requests.size(key) != len(change.content):
                self._requests.put(key, change.content)
        elif change.present_name is not None:
            self.prepare(record, change.present_name)

    def _create_attr(self, change: Placeable) -> bool:
        """The moment in which a new file begins to exist. False if it does already."""
        key = self._attr_key(change.record.file_id)
        if not self._requests.create(key, sidecar.seal(change.record_json)):
            return False
        self._used.add(change.record.size)
        self._remove_former(change)
        return True

    def _put_attr(self, change: Placeable) -> None:
        self._requests.put(self._attr_key(change.record.file_id), sidecar.seal(change.record_json))

    def _remove_former(self, change: Placeable) -> None:
        former = change.present_name
        if former is not None and former != _name(self._content_key(change.record)):
            self._requests.remove(self._key(change.record.file_id, former))

    def _remove_content(self, change: Placeable) -> None:
        self._requests.remove(self._content_key(change.record))
        self._remove_former(change)
        self._used.add(-change.record.size)

    def _record(self, file_id: FileId) -> FileRecord | None:
        """`None` also for a damaged one, which a replay puts right."""
        try:
            return sidecar.parse(self.attr(file_id), file_id)
        except (FileNotFoundError, FileDamaged):
            return None

    def _refers(self, file_id: FileId, name: str) -> bool:
        record = self._record(file_id)
        return record is not None and _name(self._content_key(record)) == name

    def _sizes(self) -> Iterator[int]:
        return (size for _, size in self._requests.listed(DATA_KEY))

    def _attr_key(self, file_id: FileId) -> str:
        return self._layout.attr(file_id)[1:]

    def _content_key(self, record: FileRecord) -> str:
        return self._layout.content(record)[1:]

    def _key(self, file_id: FileId, name: str) -> str:
        return f"{self._layout.directory(file_id)}/{name}"[1:]


def _name(path: str) -> str:
    return path.rpartition("/")[2]
