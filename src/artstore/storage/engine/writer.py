"""Group commit: whoever waits shares one write and one flush of the log.

While one group is being flushed the next one gathers, so the busier the element, the larger
the groups; and while it is flushed the one before it is put in place. A new small file is
answered when it is durable in the log, and its claim lets readers wait until it is in its
place; any other change is answered when it is in its place too.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from artstore.core.errors import ArtStoreError, NoRoom, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine.backends.base import Backend, Placeable, Placing, StoreAway, StoreFull
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.entries import Entry, Marker, Note, Outcome, OutcomeUnknown, Stored
from artstore.storage.engine.fs import NO_ROOM_ERRORS
from artstore.storage.engine.log import Log, LogFailed, LogFull
from artstore.storage.engine.outage import Outage
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.segments import Segments
from artstore.storage.engine.waiting import Waiting


class _Logged(NamedTuple):
    """A group that is durable in the log and not yet in place."""

    first: int
    last: int
    """Of all its records, a checkpoint's too."""
    group: Sequence[Entry | Note]
    changes: Sequence[Placeable | None]

    @property
    def placeable(self) -> list[Placeable]:
        return [change for change in self.changes if change is not None]


class Writer:
    """Owns the log and what is put in place while the element runs.

    Each file has at most one change between its claim and its place, so what one group puts
    in place has nothing to do with what the next one asks and logs meanwhile.

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
        self._existing = existing
        self._on_durable = on_durable
        self._waiting = Waiting()
        self._outage = Outage(connect)
        self._is_suspect = False
        self._logged: _Logged | None = None
        self._thread = threading.Thread(target=self._run, name="log-writer")
        self.fault: str | None = None
        """Why nothing is written any more; an operator has to look at the volume."""
        self.head = log.next_sequence - 1
        """The last change that is durable and in place."""
        self.changed_head = 0
        """The last one of this run that a checkpoint has to cover."""
        self.unflushed_bytes = 0
        """Written since the last checkpoint began, about."""

    # --- any thread -------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    @property
    def away(self) -> StoreAway | None:
        """Why nothing is written for now; it ends by itself."""
        return self._outage.away

    def check(self) -> None:
        """Raises:
        Unavailable: After a fault, or while the store is away.
        NoRoom: The store is full.
        """
        if self.fault is not None:
            raise Unavailable("the volume of the storage element failed; it only reads")
        if self._outage.away is not None:
            self._outage.check()

    def submit(self, *entries: Entry | Note) -> None:
        """Queue changes or a note, all or none; changes stay together (see `Waiting.add`).

        Raises:
            Unavailable: The volume failed, the element stops, or too much waits already.
            NoRoom: The store is full.
        """
        self.check()
        self._waiting.add(entries)

    def submit_marker(self, marker: Marker) -> None:
        self._waiting.add_marker(marker)

    def suspect(self) -> None:
        """Somebody could not reach the store: look whether it is away."""
        self._is_suspect = True
        self._waiting.wake()

    def fail(self, what: str, error: Exception) -> None:
        """Stop writing for good. Reading goes on; recovery at the next start sees to the rest."""
        self.fault = f"{what}: {error}"
        get_logger().error("storage element turned read-only", cause=self.fault, exc_info=error)

    def close(self) -> None:
        """Finish what waits, then end."""
        self._waiting.close()
        if self._thread.is_alive():
            self._thread.join()
        while self.run_once():
            pass

    # --- the writer's thread ----------------------------------------------------------

    def leave(self, away: StoreAway, owed: Callable[[], object]) -> None:
        """Nothing is written until the store is back and `owed` is done: see `Outage`."""
        self._outage.begin(away)
        self._outage.owe(owed)

    def try_again(self) -> None:
        """Is the store back? Then what is owed comes first."""
        try:
            is_back = self._outage.try_again()
        except OSError as error:
            self.fail("a logged change cannot be put in place", error)
            return
        if is_back:
            last = self._log.next_sequence - 1
            self.changed_head = max(self.changed_head, last)
            self._publish(last)

    def run_once(self) -> bool:
        """Log one group of what waits now, and put the one before it in place; false if there
        is neither."""
        group, marker = self._waiting.take()
        logged, self._logged = self._logged, None
        if not group and marker is None and logged is None:
            return False
        try:
            self._advance(logged, group, marker)
        except Exception as error:  # noqa: BLE001  the edge of the loop: nobody may wait for ever
            self.fail("the writer broke", error)
            self._logged = None
            self._refuse([*(logged.group if logged else ()), *group], marker, OutcomeUnknown())
        return True

    def _run(self) -> None:
        while self._logged or self._waiting.wait(self._outage.retry_s if self.away else None):
            self.run_once()
            if self._logged is not None or self.fault is not None:
                continue
            if self.away is not None:
                self.try_again()
            elif self._is_suspect:
                self._look_for_store()

    def _look_for_store(self) -> None:
        self._is_suspect = False
        try:
            self._outage.look()
        except OSError as error:
            self.fail("the files cannot be put in place", error)

    def _advance(
        self, logged: _Logged | None, group: Sequence[Entry | Note], marker: Marker | None
    ) -> None:
        new = self._admitted(group)
        # Asked before the placing begins: the helper does one thing after the other.
        placing = self._begin_placing(logged) if logged is not None else None
        if self._is_stopped():
            self._refuse(new, marker, self._reason())
        else:
            self._logged = self._log_group(new, marker)
        if logged is not None and placing is not None:
            self._finish_placing(logged, placing)
        if self._logged is not None and self._is_stopped():
            # What came before it is not in place, so it must not be either, or not be told.
            self._give_up(self._logged)
            self._logged = None

    def _is_stopped(self) -> bool:
        return self.fault is not None or self.away is not None

    def _reason(self) -> ArtStoreError:
        return self.away if self.fault is None and self.away is not None else OutcomeUnknown()

    def _admitted(self, group: Sequence[Entry | Note]) -> Sequence[Entry | Note]:
        """Those that are to be logged. All of them if the element is stopped."""
        if self._is_stopped() or not group:
            return group
        try:
            return self._not_existing(group)
        except StoreAway as away:
            self._outage.begin(away)
            return group

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
        self._release([entry])
        entry.answer(outcome)
        return True

    def _log_group(self, group: Sequence[Entry | Note], marker: Marker | None) -> _Logged | None:
        """Durable on return; nothing if it could not be, and they were told."""
        bodies = [entry.body() for entry in group]
        if marker is not None:
            bodies.append(marker.body())
        if not bodies:
            return None
        try:
            first = self._log.append(bodies)
        except LogFull as error:
            get_logger().warning("no room for the log", cause=str(error))
            self._refuse(group, marker, NoRoom("the storage element is full"))
            return None
        except LogFailed as error:
            self.fail("the log cannot be written", error)
            self._refuse(group, marker, OutcomeUnknown())
            return None
        if marker is not None:
            marker.answer(durable=True)
        changes = [entry.placeable(sequence) for sequence, entry in enumerate(group, first)]
        if self._backend.is_log_enough:
            self._acknowledge(group, first)
        return _Logged(first, self._log.next_sequence - 1, group, changes)

    def _acknowledge(self, group: Sequence[Entry | Note], first: int) -> None:
        """New small files: the log holds all of them. Their claims stay until they are in place."""
        small = [
            (sequence, entry)
            for sequence, entry in enumerate(group, first)
            if isinstance(entry, Entry) and entry.is_new_small_file
        ]
        self._claims.logged([entry.record.file_id for _, entry in small])
        for sequence, entry in small:
            entry.finish(sequence)

    def _begin_placing(self, logged: _Logged) -> Placing | None:
        """They are durable. If one cannot be put into place, the next start will do it, so
        nobody may be told that it was refused: the outcome is open."""
        try:
            return self._backend.put_new(logged.placeable)
        except StoreAway as away:
            self._outage.begin(away)
            self._give_up(logged)
            return None

    def _finish_placing(self, logged: _Logged, placing: Placing) -> None:
        placed = placing()
        try:
            self._place_in_order(logged, placed)
        except StoreAway as away:
            self._outage.begin(away)
            self._give_up(logged)

    def _place_in_order(self, logged: _Logged, placed: set[int]) -> None:
        group = logged.group
        for position, change in enumerate(logged.changes):
            sequence = logged.first + position
            if change is None or sequence in placed:
                continue
            try:
                # A small file that comes here was tried already and may be half in place.
                self._apply(change, verify=change.content is not None)
            except OSError as error:
                self.fail("a logged change cannot be put in place", error)
                self._are_in_place(logged, group[:position])
                self._publish(sequence - 1)
                self._refuse(group[position:], None, OutcomeUnknown())
                group = group[:position]
                break
        else:
            self._are_in_place(logged, group)
            self._publish(logged.last)
        self._release(group)
        for sequence, entry in enumerate(group, logged.first):
            entry.finish(sequence)

    def _are_in_place(self, logged: _Logged, entries: Sequence[Entry | Note]) -> None:
        """The next checkpoint covers them."""
        if entries:
            self.changed_head = logged.first + len(entries) - 1
            self.unflushed_bytes += sum([entry.unflushed_bytes for entry in entries])

    def _give_up(self, logged: _Logged) -> None:
        """For now: the store is away and it is owed; or for this run, after a fault."""
        if self.away is not None:
            self._outage.owe(lambda: self._replay(logged))
        self._refuse(logged.group, None, OutcomeUnknown())

    def _replay(self, logged: _Logged) -> None:
        for change in logged.placeable:
            self._apply(change, verify=True)
        self._release(list(filter(_is_acknowledged, logged.group)))

    def _apply(self, change: Placeable, *, verify: bool) -> None:
        """Raises:
        StoreFull: There is no room, and no reserve for what is promised: it has to be made.
        """
        try:
            self._backend.replay(change, verify=verify)
        except OSError as error:
            if error.errno not in NO_ROOM_ERRORS:
                raise
            self._apply_in_reserve(change)

    def _apply_in_reserve(self, change: Placeable) -> None:
        if self._segments.release_spare():
            get_logger().warning("volume full; the log's reserve is used")
        try:
            self._backend.replay(change)
        except OSError as error:
            if error.errno in NO_ROOM_ERRORS:
                raise StoreFull("the volume of the storage element is full") from error
            raise

    def _publish(self, head: int) -> None:
        self.head = head
        self._on_durable(head)

    def _release(self, entries: Sequence[Entry | Note]) -> None:
        """Nobody waits in a thread for a small file; its claim ends here."""
        self._claims.release_all(_small_files(entries))

    def _refuse(
        self, entries: Sequence[Entry | Note], marker: Marker | None, error: ArtStoreError
    ) -> None:
        if marker is not None:
            marker.answer(durable=False)
        self._claims.strand(_small_files(filter(_is_acknowledged, entries)))
        self._release([entry for entry in entries if not _is_acknowledged(entry)])
        for entry in entries:
            entry.answer(error)


def _is_acknowledged(entry: Entry | Note) -> bool:
    return isinstance(entry, Entry) and entry.is_answered


def _small_files(entries: Iterable[Entry | Note]) -> list[FileId]:
    return [
        entry.record.file_id
        for entry in entries
        if isinstance(entry, Entry) and entry.is_new_small_file
    ]
