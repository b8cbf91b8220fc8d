"""What an element asks of the place where its files lie.

The log stays on the element's own volume and decides the order of changes. A backend puts
them in place, afterwards and as often as it takes: everything here that changes something
may be repeated, from whatever state a crash or an outage left. Nobody but the engine
retries.

Failures: `OSError` is the element's volume and ends its writing, `StoreAway` is a store that
cannot be reached now and ends nothing. `FileNotFoundError` only where it is named.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from artstore.core.errors import Unavailable
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine.fs import Volume
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.record import RecordType

Item = TypeVar("Item")
Result = TypeVar("Result")
Placing = Callable[[], set[int]]
"""Waits until new files are in place. Returns the sequences of those that are."""


class StoreAway(Unavailable):
    """The store cannot be used now: unreachable, refusing, or not what it has to be. The
    engine tries again by itself; what is logged is put in place when it is back."""


class StoreFull(StoreAway):
    """As above, since it takes no more bytes."""


class Placeable(NamedTuple):
    """A durable change, with its content or the name the content has until now (see
    `record.ChangePayload`)."""

    type: RecordType
    sequence: int
    record: FileRecord
    record_json: bytes
    content: bytes | None
    present_name: str | None


class OpenContent(Protocol):
    """The bytes of one file. One thread at a time."""

    size: int
    """What is really stored, whatever the record says."""

    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes, at least one unless `offset` is the end."""
        ...

    def close(self) -> None: ...


class Incoming(Protocol):
    """A large file on its way in. One thread at a time. Ends with `finish` or `abort`."""

    name: str
    """What the log calls the content until its change is in place."""
    file_id: FileId
    size: int
    """Bytes taken so far."""

    def write(self, data: bytes) -> None:
        """Raises `NoRoom`, `Unavailable`; `abort` then."""
        ...

    def finish(self) -> str:
        """Durable on return, and not yet visible. Returns the SHA-256 in hex."""
        ...

    def abort(self) -> None:
        """Leave nothing behind; also after `finish`."""
        ...


class Promises(Protocol):
    """The room that uploads were promised: see `capacity.Room`."""

    def check(self, size: int) -> None: ...

    def promise(self, size: int) -> None: ...

    def release(self, size: int) -> None: ...


class Backend(Protocol):
    @property
    def is_log_enough(self) -> bool:
        """Whether a file that is durable in the log may be acknowledged before it is in its
        place: not where the place is safer than the log's volume."""
        ...

    def connect(self, element: ElementFile, *, is_new: bool) -> ElementFile:
        """Make sure that the store is there, keeps its contract and belongs to `element`.

        Again after each outage. Every other call raises `StoreAway` until it succeeded.

        Args:
            is_new: The element's volume holds nothing yet.

        Returns:
            What holds: the store remembers the mode of an element that lost its volume.

        Raises:
            StoreAway: It is not usable now.
        """
        ...

    # --- reading: any thread -----------------------------------------------------------

    def attr(self, file_id: FileId) -> bytes:
        """The sealed attr.json. `FileNotFoundError`: there is none."""
        ...

    def open(self, record: FileRecord) -> OpenContent:
        """`FileNotFoundError`: there is no content where the record says."""
        ...

    def ids_after(self, after: FileId) -> Iterator[FileId]:
        """Of all records, tombstones too, in order; an empty `after` is the beginning."""
        ...

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`map`, with as many calls of this backend at once as it likes."""
        ...

    # --- writing: the writer's thread, or recovery before there is one -----------------

    def existing(self, file_ids: Sequence[FileId]) -> Collection[FileId]:
        """Which of them have a record; may name too many, but leaves none out."""
        ...

    def put_new(self, changes: Sequence[Placeable]) -> Placing:
        """Begin to put many new small files in place at once. What is returned is called
        before anything else is asked here; what it does not name goes through `replay`.
        Changes of other kinds are left out."""
        ...

    def replay(self, change: Placeable, *, verify: bool = True) -> None:
        """Bring the file into the state after `change`, whatever is there now.

        Args:
            verify: Believe nothing that is there already.

        Raises:
            OSError, StoreAway: It may be half in place; again, please.
        """
        ...

    # --- large contents: threads of their own ------------------------------------------

    def begin_upload(
        self,
        file_id: FileId,
        name: str,
        size: int | None,
        room: Promises,
        fail: Callable[[str, Exception], None],
    ) -> Incoming:
        """
        Args:
            name: What the content will be called, as far as known.
            size: Bytes that will come, if the sender says so.
            fail: Told when the volume fails, not just fills.

        Raises:
            NoRoom, Unavailable: It cannot be taken.
        """
        ...

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
        """As `begin_upload`, with all bytes written already: they lie at `path` on the
        element's volume, durable. They stay there, whatever becomes of the upload.

        Args:
            sha256: Of the bytes, in hex.
        """
        ...

    def prepare(self, record: FileRecord, present_name: str) -> None:
        """Do what takes long before the content moves from `present_name` to the name in
        `record`, which will be logged next. Changes nothing that readers see."""
        ...

    # --- checkpoints: the keeper's thread -----------------------------------------------

    def settle(self, element: ElementFile) -> None:
        """Everything that was put in place before is durable on return."""
        ...

    def drop_staged(self, covered: int) -> None:
        """A checkpoint covers the changes up to `covered`: what was kept in case they had
        to be put in place again may go."""
        ...

    def keep_history(self, paths: Sequence[str], read: Callable[[str], bytes]) -> None:
        """The files that hold the history of the log; each never changes."""
        ...

    def volume(self) -> Volume | None:
        """The room of the store; `None`: it is that of the element's volume."""
        ...

    def close(self) -> None: ...
