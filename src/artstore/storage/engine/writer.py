"""Group commit: whoever waits shares one write and one flush of the log.

While one group is being flushed the next one gathers, so the busier the element, the larger
the groups. A change is answered when it is durable in the log *and* in its place.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple

from artstore.core.errors import ArtStoreError, NoRoom, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.storage.engine.backends.base import Backend, Placeable, StoreAway, StoreFull
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.fs import NO_ROOM_ERRORS
from artstore.storage.engine.log import Body, Log, LogFailed, LogFull
from artstore.storage.engine.record import (
    FLAG_INLINE,
    ChangePayload,
    RecordType,
    encode_change,
    encode_checkpoint,
)
from artstore.storage.engine.segments import Segments

GROUP_RECORDS_MAX: Final = 256
GROUP_BYTES_MAX: Final = 4 << 20
QUEUE_BYTES_MAX: Final = 64 << 20
"""Beyond this the element is slower than its callers; more waiting would only use memory."""


RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 15.0
"""How often a store that is away is asked whether it is back: soon at first, then rarely, since
a store that breaks its contract is tried out as a whole."""


class OutcomeUnknown(Unavailable):
    """Logged, but not in place: a later try, or the next start, will see to it."""


class Stored(NamedTuple):
    """`created` is false when the same content was there already."""

    record: FileRecord
    record_json: bytes
    created: bool


Outcome = Stored | ArtStoreError
Done = Callable[[Outcome], None]
"""Called in the writer thread; must not block or raise. Only the first call counts."""
Noted = int | ArtStoreError
"""A note's sequence."""


@dataclass(slots=True)
class Entry:
    """A change that waits for its group; for the last two see `backends.base.Placeable`."""

    type: RecordType
    record: FileRecord
    record_json: bytes
    done: Done
    at_us: int
    trace: bytes
    content: bytes | None = None
    present_name: str | None = None
    origin_json: bytes = b""

    @property
    def size(self) -> int:
        return len(self.record_json) + len(self.origin_json) + len(self.content or b"")

    @property
    def unflushed_bytes(self) -> int:
        """What a checkpoint has to write for it."""
        staged = self.type is RecordType.CREATED and self.content is None
        return self.record.size if staged else self.size

    def body(self) -> Body:
        tail = self.content if self.content is not None else (self.present_name or "").encode()
        flags = FLAG_INLINE if self.content is not None else 0
        payload = ChangePayload(self.at_us, self.trace, self.record_json, tail, self.origin_json)
        return Body(self.type, flags, encode_change(payload))

    def placeable(self, sequence: int) -> Placeable:
        return Placeable(
            self.type, sequence, self.record, self.record_json, self.content, self.present_name
        )

    def finish(self, sequence: int) -> None:
        self.done(Stored(self.record, self.record_json, created=True))


@dataclass(slots=True)
class Note:
    """A finding or a change of mode that waits for its group. Nothing is put in place."""

    type: RecordType
    detail_json: bytes
    done: Callable[[Noted], None]
    """As `Done`."""
    at_us: int
    trace: bytes

    @property
    def size(self) -> int:
        return len(self.detail_json)

    @property
    def unflushed_bytes(self) -> int:
        return 0

    def body(self) -> Body:
        payload = ChangePayload(self.at_us, self.trace, self.detail_json, b"")
        return Body(self.type, 0, encode_change(payload))

    def placeable(self, sequence: int) -> None:
        return None

    def finish(self, sequence: int) -> None:
        self.done(sequence)


class Marker:
    """A checkpoint on its way into the log: everything up to `covers` is in its place, durable."""

    def __init__(self, covers: int) -> None:
        self.covers = covers
        self.answered = threading.Event()
        self.durable = False

    def body(self) -> Body:
        return Body(RecordType.CHECKPOINT, 0, encode_checkpoint(self.covers))

    def answer(self, *, durable: bool) -> None:
        self.durable = durable
        self.answered.set()


class Writer:
    """Owns the log and what is put in place while the element runs.

    Args:
        connect: Raises `StoreAway` as long as the store is away.
        existing: What is stored under the id of a new record, or `None`.
        on_durable: Called with the new head after each group, in the writer thread.
    """

    def __init__(
        self,
        *,
        log: Log,
        backend: Backend,
        segments: Segments,
        claims: Claims,
        connect: Callable[[], None],
        existing: Callable[[FileRecord], Stored | None],
        on_durable: Callable[[int], None],
    ) -> None:
        self._log = log
        self._backend = backend
        self._segments = segments
        self._claims = claims
        self._connect = connect
        self._existing = existing
        self._on_durable = on_durable
        self._waiting: deque[Entry | Note] = deque()
        self._waiting_bytes = 0
        self._marker: Marker | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log-writer")
        self._owed: Callable[[], object] = _nothing
        """What was logged and could not be put in place comes before anything else."""
        self._is_suspect = False
        self._retry_s = RETRY_MIN_S
        self.away: StoreAway | None = None
        """Why nothing is written for now; it ends by itself."""
        self.fault: str | None = None
        """Why nothing is written any more; an operator has to look at the volume."""
        self.head = log.next_sequence - 1
        """The last change that is durable and in place."""
        self.changed_head = 0
        """The last one of this run that a checkpoint has to cover."""
        self.unflushed_bytes = 0
        """Written since the last checkpoint began, about."""

    def start(self) -> None:
        self._thread.start()

    def submit(self, entry: Entry | Note) -> None:
        """Queue a change or a note.

        Raises:
            Unavailable: The volume failed, the element stops, or too much waits already.
        """
        with self._changed:
            self.check()
            if self._closing:
                raise Unavailable("the storage element is stopping")
            if self._waiting_bytes + entry.size > QUEUE_BYTES_MAX and self._waiting:
                raise Unavailable("the storage element is busy", retry_after_s=1)
            self._waiting.append(entry)
            self._waiting_bytes += entry.size
            self._changed.notify_all()

    def gathering(self) -> AbstractContextManager[object]:
        """While this is held nothing leaves the queue: what is submitted stays together."""
        return self._changed

    def submit_marker(self, marker: Marker) -> None:
        with self._changed:
            self._marker = marker
            self._changed.notify_all()

    def check(self) -> None:
        """Raises:
        Unavailable: After a fault, or while the store is away.
        NoRoom: The store is full.
        """
        if self.fault is not None:
            raise Unavailable("the volume of the storage element failed; it only reads")
        if isinstance(self.away, StoreFull):
            raise NoRoom("the object store is full")
        if self.away is not None:
            raise Unavailable(self.away.detail, retry_after_s=math.ceil(self._retry_s))

    def close(self) -> None:
        """Finish what waits, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        while self.run_once():
            pass

    def run_once(self) -> bool:
        """Commit one group of what waits now; false if nothing does."""
        group, marker = self._take()
        if not group and marker is None:
            return False
        try:
            if self.away is not None:
                self._refuse(group, marker, self.away)
            else:
                self._commit(group, marker)
        except Exception as error:  # noqa: BLE001  the edge of the loop: nobody may wait for ever
            self.fail("the writer broke", error)
            self._refuse(group, marker, self._unknown())
        return True

    def fail(self, what: str, error: Exception) -> None:
        """Stop writing for good. Reading goes on; recovery at the next start sees to the rest."""
        self.fault = f"{what}: {error}"
        get_logger().error("storage element turned read-only", cause=self.fault, exc_info=error)

    def suspect(self) -> None:
        """Somebody could not reach the store: look whether it is away."""
        with self._changed:
            self._is_suspect = True
            self._changed.notify_all()

    def leave(self, away: StoreAway, owed: Callable[[], object]) -> None:
        """Nothing is written until the store is back and `owed` is done: it puts in place
        what the log holds already, raises `StoreAway`, and may be called many times."""
        self.away, self._owed, self._retry_s = away, owed, RETRY_MIN_S
        get_logger().error("the store of the files is away", cause=away.detail)

    def try_again(self) -> None:
        """Is the store back? Then what is owed comes first."""
        try:
            self._connect()
            self._owed()
        except StoreAway as away:
            if self.away is not None and self.away.detail != away.detail:
                get_logger().error("the store of the files is away", cause=away.detail)
            self.away = away
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            return
        except OSError as error:
            self.fail("a logged change cannot be put in place", error)
            return
        get_logger().info("the store of the files is back")
        self._owed = _nothing
        self.away = None
        self.changed_head = max(self.changed_head, self._log.next_sequence - 1)
        self._publish(self._log.next_sequence - 1)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._marker or self._closing or self._is_suspect,
                    self._retry_s if self.away is not None else None,
                )
                if self._closing and not self._waiting and not self._marker:
                    return
            self.run_once()
            if self._is_suspect and self.away is None:
                self._look_for_store()
            if self.away is not None and self.fault is None:
                self.try_again()

    def _look_for_store(self) -> None:
        self._is_suspect = False
        try:
            self._connect()
        except StoreAway as away:
            self.leave(away, _nothing)
        except OSError as error:
            self.fail("the files cannot be put in place", error)

    def _take(self) -> tuple[list[Entry | Note], Marker | None]:
        group: list[Entry | Note] = []
        size = 0
        with self._changed:
            while self._waiting and len(group) < GROUP_RECORDS_MAX:
                size += self._waiting[0].size
                if group and size > GROUP_BYTES_MAX:
                    break
                entry = self._waiting.popleft()
                self._waiting_bytes -= entry.size
                group.append(entry)
            marker, self._marker = self._marker, None
        return group, marker

    def _commit(self, group: Sequence[Entry | Note], marker: Marker | None) -> None:
        if self.fault is not None:
            self._refuse(group, marker, self._unknown())
            return
        try:
            new = self._not_existing(group)
        except StoreAway as away:
            self.leave(away, _nothing)
            self._refuse(group, marker, away)
            return
        bodies = [entry.body() for entry in new]
        if marker is not None:
            bodies.append(marker.body())
        if not bodies:
            return
        try:
            first = self._log.append(bodies)
        except LogFull as error:
            get_logger().warning("no room for the log", cause=str(error))
            self._refuse(new, marker, NoRoom("the storage element is full"))
            return
        except LogFailed as error:
            self.fail("the log cannot be written", error)
            self._refuse(new, marker, self._unknown())
            return
        if marker is not None:
            marker.answer(durable=True)
        self._place(first, new)

    def _not_existing(self, group: Sequence[Entry | Note]) -> list[Entry | Note]:
        """A file is created once. Who repeats an upload gets the record of the first."""
        creating = {
            entry.record.file_id: entry
            for entry in group
            if isinstance(entry, Entry) and entry.type is RecordType.CREATED
        }
        taken = self._backend.existing(list(creating)) if creating else ()
        answered = {id(creating[key]) for key in taken if self._is_answered(creating[key])}
        return [entry for entry in group if id(entry) not in answered]

    def _is_answered(self, entry: Entry) -> bool:
        outcome: Outcome | None
        try:
            outcome = self._existing(entry.record)
        except ArtStoreError as error:
            outcome = error
        if outcome is None:
            return False
        self._release(entry)
        entry.done(outcome)
        return True

    def _place(self, first: int, group: Sequence[Entry | Note]) -> None:
        """They are durable. If one cannot be put into place, the next start will do it, so
        nobody may be told that it was refused: the outcome is open."""
        changes = [entry.placeable(sequence) for sequence, entry in enumerate(group, first)]
        placeable = [change for change in changes if change is not None]
        try:
            self._place_in_order(first, group, changes, self._backend.put_new(placeable))
        except StoreAway as away:
            self.leave(away, lambda: self._replay(placeable))
            self._refuse(group, None, self._unknown())

    def _place_in_order(
        self,
        first: int,
        group: Sequence[Entry | Note],
        changes: Sequence[Placeable | None],
        placed: set[int],
    ) -> None:
        for position, (entry, change) in enumerate(zip(group, changes, strict=True)):
            sequence = first + position
            try:
                if change is not None and sequence not in placed:
                    self._apply(change)
            except OSError as error:
                self.fail("a logged change cannot be put in place", error)
                self._publish(sequence - 1)
                self._refuse(group[position:], None, self._unknown())
                group = group[:position]
                break
            self.changed_head = sequence
            self.unflushed_bytes += entry.unflushed_bytes
        else:
            self._publish(self._log.next_sequence - 1)
        for sequence, entry in enumerate(group, first):
            self._release(entry)
            entry.finish(sequence)

    def _replay(self, changes: Sequence[Placeable]) -> None:
        for change in changes:
            self._backend.replay(change)

    def _apply(self, change: Placeable) -> None:
        is_small = change.content is not None
        try:
            # A small file that comes here was tried already and may be half in place.
            self._backend.replay(change, verify=is_small)
        except OSError as error:
            # The reserve exists for this: what is promised gets its room.
            if error.errno not in NO_ROOM_ERRORS or not self._segments.release_spare():
                raise
            get_logger().warning("volume full; the log's reserve is used")
            self._backend.replay(change)

    def _publish(self, head: int) -> None:
        self.head = head
        self._on_durable(head)

    def _release(self, entry: Entry | Note) -> None:
        if isinstance(entry, Entry) and entry.content is not None:
            # Nobody waits in a thread for a small file; its claim ends here.
            self._claims.release(entry.record.file_id)

    def _refuse(
        self, entries: Sequence[Entry | Note], marker: Marker | None, error: ArtStoreError
    ) -> None:
        if marker is not None:
            marker.answer(durable=False)
        for entry in entries:
            self._release(entry)
            entry.done(error)

    def _unknown(self) -> Unavailable:
        return OutcomeUnknown("whether the change was stored is not known yet; try again")


def _nothing() -> None:
    """Is owed."""
