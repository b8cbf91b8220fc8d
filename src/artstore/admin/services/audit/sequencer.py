"""Takes events from the outbox, in their order, and makes them entries of the log.

Exactly once, whatever dies when: the entries say themselves which events they are. After a crash
the log may be ahead of the index, never the other way round, and what it is ahead by is read
from its own entries (`_catch_up`).
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final

from artstore.admin.repository import audit_events, audit_log
from artstore.admin.repository.audit_log import LogState
from artstore.admin.repository.catalogue_files import Connection
from artstore.admin.services.audit.log_keys import LogKeys, load_keys
from artstore.admin.services.audit.trail import Deed, Trail, Who, row_of
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import (
    AUDIT_APPEND_DURATION,
    AUDIT_CHECKPOINT_SIGNED,
    AUDIT_EVENTS,
    AUDIT_LOG_ENTRIES,
)
from artstore.core.model.audit import AuditEvent, AuditKind
from artstore.core.tlog.errors import DamagedLog
from artstore.core.tlog.log import Log, has_log
from artstore.core.tlog.store import LogStore

BATCH_EVENTS_MAX: Final = 4000
CATCH_UP_ENTRIES: Final = 500
CHECKPOINT_EVERY_S: Final = 60.0
"""How often a checkpoint is kept for exports. The log itself has one for each batch."""


@dataclass(frozen=True)
class LogIdentity:
    host: str
    """Begins the name of a log that is new."""
    seal: Seal
    """Opens its keys."""


class Sequencer:
    """The one writer of the log: `connection` holds the lock, `store` the files."""

    def __init__(
        self,
        connection: Connection,
        store: LogStore,
        identity: LogIdentity,
        clock: Clock,
        trail: Trail,
    ) -> None:
        self._connection = connection
        self._store = store
        self._identity = identity
        self._clock = clock
        self._trail = trail
        self._log: Log | None = None
        self._kept_at_s = float("-inf")

    @property
    def log(self) -> Log:
        assert self._log is not None, "open comes first"
        return self._log

    async def open(self) -> None:
        """
        Raises:
            TlogError: The log is damaged, was put back, or is not the one of this database.
            ConfigurationError: The key-encryption key does not fit the database.
            psycopg.Error, OSError: Database or disk failed; try again.
        """
        now = self._clock.now()
        async with self._connection.transaction():
            state = await audit_log.state(self._connection) or await audit_log.create(
                self._connection, f"{self._identity.host}/audit/{secrets.token_hex(4)}"
            )
            keys = await load_keys(self._connection, self._identity.seal, state.origin, now)
        self._log = await asyncio.to_thread(self._open_log, state, keys, now)
        behind = self._log.checkpoint.size - state.size
        await self._catch_up(state.size)
        await self._note_start(behind)
        get_logger().info(
            "audit log opened", origin=state.origin, size=self._log.checkpoint.size, behind=behind
        )

    def _open_log(self, state: LogState, keys: LogKeys, now: datetime) -> Log:
        if has_log(self._store):
            return Log.open(
                self._store,
                state.origin,
                keys.current,
                old_keys=keys.old,
                size_min=state.size,
            )
        if state.planned_size:
            raise DamagedLog(f"the log had {state.size} entries, and its folder is empty")
        return Log.create(self._store, state.origin, keys.current, int(now.timestamp()))

    async def step(self) -> int:
        """Log one batch. How many events it had; 0: there are none.

        Raises:
            TlogError, OSError: The log failed; open it again.
            psycopg.Error: The connection is lost, and the lock with it.
        """
        batch = await audit_events.oldest(self._connection, BATCH_EVENTS_MAX)
        logged = len(batch.entries)
        if not logged:
            return 0
        started_s = perf_counter()
        first = self.log.checkpoint.size
        await audit_log.plan(self._connection, first + logged)
        now = self._clock.now()
        await asyncio.to_thread(self.log.append, batch.entries, int(now.timestamp()))
        await self._index(first, batch.positions)
        await self._keep_checkpoint(now)
        AUDIT_APPEND_DURATION.observe(perf_counter() - started_s)
        AUDIT_EVENTS.inc(logged)
        AUDIT_LOG_ENTRIES.set(self.log.checkpoint.size)
        AUDIT_CHECKPOINT_SIGNED.set(now.timestamp())
        return logged

    async def _index(self, first: int, positions: Sequence[int]) -> None:
        async with self._connection.transaction():
            await audit_events.move(self._connection, first, positions)
            await audit_log.indexed(self._connection, first + len(positions))

    async def _keep_checkpoint(self, now: datetime) -> None:
        if self._clock.monotonic_s() - self._kept_at_s < CHECKPOINT_EVERY_S:
            return
        self._kept_at_s = self._clock.monotonic_s()
        note = self.log.note.to_bytes()
        await audit_log.save_checkpoint(
            self._connection, self.log.checkpoint.size, note, now, witnesses=0
        )

    async def _catch_up(self, indexed: int) -> None:
        """Index what the log has and the index has not: a crash came between the two, or the
        database was put back to an earlier state."""
        size = self.log.checkpoint.size
        reader = self.log.reader()
        for start in range(indexed, size, CATCH_UP_ENTRIES):
            end = min(start + CATCH_UP_ENTRIES, size)
            entries = await asyncio.to_thread(lambda: list(reader.entries(start, end)))  # noqa: B023  awaited at once
            await self._index_entries(start, entries)
        AUDIT_LOG_ENTRIES.set(size)

    async def _index_entries(self, start: int, entries: Sequence[bytes]) -> None:
        parsed = [AuditEvent.from_entry(entry) for entry in entries]
        # Those that wait in the outbox keep what opens their commitments; the others have lost it.
        rows = [row_of(event, {})._replace(facts=None) for event in parsed]
        async with self._connection.transaction():
            await audit_events.index(self._connection, start, rows)
            await audit_log.indexed(self._connection, start + len(entries))

    async def _note_start(self, behind: int) -> None:
        deed = Deed(
            AuditKind.AUDIT_STARTED, details={"size": self.log.checkpoint.size, "behind": behind}
        )
        event = row_of(*self._trail.event_of(Who(), deed))
        async with self._connection.transaction():
            await audit_events.add_many(self._connection, [event])
