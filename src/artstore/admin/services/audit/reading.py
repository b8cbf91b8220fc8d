"""Answers questions about the audit log: events by what they say, proofs, exports.

The index in the database finds, the files prove: a proof is checked against the log's own
checkpoint before it is handed out.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, TypeVar
from uuid import UUID

import orjson

from artstore.admin.repository import audit_events, audit_log, receipt_keys
from artstore.admin.repository.audit_events import EventFilter, LoggedEvent
from artstore.core.audit.export import export_lines
from artstore.core.audit.stamps import Stamp, StampFolder
from artstore.core.database import Database
from artstore.core.errors import Unavailable, UnknownAuditEntry
from artstore.core.model.audit import AuditKind, Disclosure, Disclosures, PersonalField
from artstore.core.tlog.errors import ObjectMissing, TlogError
from artstore.core.tlog.log import CHECKPOINT
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.note import Note
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.proof_file import ProofFile
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.store import LogStore

T = TypeVar("T")

EXPORT_CHUNK_BYTES: Final = 256 * 1024
NOTES_PER_QUERY: Final = 500
PROVEN_EVENTS_MAX: Final = 5000
"""In one answer: about 2 KB each."""


@dataclass(frozen=True)
class Proven:
    """An entry and what proves it."""

    event: LoggedEvent
    proof: ProofFile


@dataclass(frozen=True)
class Consistency:
    """RFC 6962, 2.1.2: hashes that lead from the root of the smaller log to `root`."""

    first: int
    second: int
    proof: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True)
class ProvenHistory:
    events: list[Proven]
    timestamp: bytes | None
    """RFC 3161, over the note that all proofs hold."""
    record: bytes | None
    """The attr.json that they prove, or the tombstone; `None` while the catalogue is behind."""
    receipt_key: Proven | None = None
    """The event that the asked key of deposit receipts was registered, if that state has it."""


class State:
    """One state of the log: a note that the log has signed, and the files behind it."""

    def __init__(self, store: LogStore, note: Note) -> None:
        self.note = note
        self._store = store

    @cached_property
    def tree(self) -> Checkpoint:
        return Checkpoint.parse(self.note.text)

    def reader(self) -> TreeReader:
        """Blocking; for one thread."""
        return TreeReader(self._store, self.tree.size, self.tree.root)

    def proof(self, index: int) -> ProofFile:
        """Blocking."""
        return ProofFile(index, tuple(self.reader().inclusion_proof(index)), self.note)

    def proven(self, events: Sequence[LoggedEvent]) -> list[Proven]:
        """Blocking."""
        reader = self.reader()
        return [
            Proven(
                event,
                ProofFile(
                    event.log_index, tuple(reader.inclusion_proof(event.log_index)), self.note
                ),
            )
            for event in events
        ]

    def consistency(self, first: int, second: int) -> Consistency:
        """Blocking."""
        reader = self.reader()
        proof = reader.consistency_proof(first, second)
        return Consistency(first, second, tuple(proof), reader.root_at(second))


class AuditLog:
    """For requests; several at once."""

    def __init__(
        self,
        database: Database,
        store: LogStore,
        witness_keys: Sequence[VerifierKey],
        quorum: int,
    ) -> None:
        self._database = database
        self._store = store
        self._witness_keys = tuple(witness_keys)
        self._quorum = quorum

    async def page(
        self, wanted: EventFilter, after: tuple[datetime, int] | None, limit: int
    ) -> list[LoggedEvent]:
        async with self._database.session() as session:
            return await audit_events.page(session, wanted, after, limit)

    async def policy(self) -> TrustPolicy:
        """The keys that this installation publishes. Whoever verifies should have them from
        somewhere else.

        Raises:
            Unavailable: The log was not made yet.
        """
        async with self._database.session() as session:
            origin = await audit_log.origin(session)
            keys = await audit_log.public_keys(session)
        if origin is None or not keys:
            raise Unavailable("the audit log is being made")
        parsed = tuple(VerifierKey.parse(key) for key in keys)
        return TrustPolicy(origin, parsed, self._witness_keys, self._quorum)

    async def newest(self) -> State:
        """The newest state, whether witnesses have seen it or not.

        Raises:
            Unavailable: The log was not made yet, or lies on another machine.
        """
        try:
            data = await asyncio.to_thread(self._store.read, CHECKPOINT)
        except (ObjectMissing, OSError) as error:
            raise Unavailable("the audit log cannot be read here") from error
        return State(self._store, Note.parse(data))

    async def confirmed(self) -> State:
        """The newest state that the witnesses have confirmed, if any has to."""
        if self._quorum:
            async with self._database.session() as session:
                note = await audit_log.newest_checkpoint(session, self._quorum)
            if note is not None:
                return State(self._store, Note.parse(note))
        return await self.newest()

    def is_confirmed(self, state: State) -> bool:
        """Whether as many witnesses have signed it as are asked for now. Their signatures were
        checked when they came."""
        names = {key.name for key in self._witness_keys}
        signed = {line.name for line in state.note.signatures}
        return len(names & signed) >= self._quorum

    async def prove(self, index: int) -> Proven:
        """In the newest confirmed state that has the entry, else in the newest one.

        Raises:
            UnknownAuditEntry: The log has no such entry, or the index has it not yet.
        """
        state = await self.confirmed()
        if index >= state.tree.size:
            state = await self.newest()
        async with self._database.session() as session:
            event = await audit_events.by_index(session, index)
        if event is None or index >= state.tree.size:
            raise UnknownAuditEntry
        return Proven(event, await self._in_thread(lambda: state.proof(index)))

    async def consistency(self, first: int, second: int | None) -> Consistency:
        """That the log of size `first` is the beginning of the one of size `second`; `None`:
        of the newest.

        Raises:
            UnknownAuditEntry: The log is not that long.
        """
        state = await self.newest()
        size = state.tree.size if second is None else second
        if not first <= size <= state.tree.size:
            raise UnknownAuditEntry
        return await self._in_thread(lambda: state.consistency(first, size))

    async def history(
        self, file_id: UUID, after: int = -1, limit: int | None = None
    ) -> list[LoggedEvent]:
        """Events of a file behind the log index `after`, the oldest first."""
        async with self._database.session() as session:
            return await audit_events.history(session, file_id, after, limit)

    async def proven_history(self, file_id: UUID, receipt_kid: str | None = None) -> ProvenHistory:
        """All events of a file with their proofs in one state: one that has a time stamp, else
        one that is confirmed, else the newest.

        Args:
            receipt_kid: Of a key whose event is wanted as well.

        Raises:
            UnknownAuditEntry: No event names this file.
        """
        found = await self._provable(file_id)
        key = await self._registered(receipt_kid) if receipt_kid is not None else []
        last = max(event.log_index for event in (*found, *key))
        stamp = await self._in_thread(StampFolder(self._store).newest)
        state = State(self._store, Note.parse(stamp.note)) if stamp else await self.confirmed()
        if stamp is not None and (last >= stamp.size or not self.is_confirmed(state)):
            stamp, state = None, await self.confirmed()
        if last >= state.tree.size:
            state = await self.newest()
        proven = await self._in_thread(lambda: state.proven([*found, *key]))
        async with self._database.session() as session:
            record = await audit_events.record_of(session, file_id)
        return ProvenHistory(
            proven[: len(found)],
            stamp.response if stamp else None,
            record,
            proven[-1] if key else None,
        )

    async def _registered(self, kid: str) -> list[LoggedEvent]:
        """The event of a key, once the log has it."""
        async with self._database.session() as session:
            row = await receipt_keys.find(session, kid)
            event = await audit_events.by_id(session, row.event_id) if row else None
        return [event] if event is not None else []

    async def _provable(self, file_id: UUID) -> list[LoggedEvent]:
        """Of a file that is read all the time, what happened to it and not who read it."""
        async with self._database.session() as session:
            found = await audit_events.history(session, file_id, limit=PROVEN_EVENTS_MAX + 1)
            if len(found) > PROVEN_EVENTS_MAX:
                found = await audit_events.history(
                    session, file_id, limit=PROVEN_EVENTS_MAX, without=AuditKind.FILE_DOWNLOADED
                )
        if not found:
            raise UnknownAuditEntry
        return found

    async def export(self, first: int, end: int | None) -> AsyncIterator[bytes]:
        """An export (docs/formats/audit-export.md) in pieces, in constant memory."""
        state = await self.confirmed()
        if end is not None and end > state.tree.size:
            state = await self.newest()
        if not first <= (state.tree.size if end is None else end) <= state.tree.size:
            raise UnknownAuditEntry
        loop = asyncio.get_running_loop()

        def facts_of(ids: list[str]) -> dict[str, Disclosures]:
            return asyncio.run_coroutine_threadsafe(self._facts(ids), loop).result()

        lines = export_lines(
            state.reader(),
            state.note,
            earlier=self._earlier(state.tree.size, loop),
            stamps=self._stamps_up_to(state.tree.size),
            disclosures_of=facts_of,
            first=first,
            end=end,
        )
        return self._chunks(lines)

    def _stamps_up_to(self, size: int) -> Iterator[Stamp]:
        """Time stamps, the smallest state first. Blocking, in a thread."""
        for stamp in StampFolder(self._store).every():
            if stamp.size > size:
                return
            yield stamp

    def _earlier(self, size: int, loop: asyncio.AbstractEventLoop) -> Iterator[Note]:
        """Checkpoints before `size`, the smallest first. Blocking, in a thread."""
        after = 0
        while True:
            found = asyncio.run_coroutine_threadsafe(self._notes(after, size), loop).result()
            if not found:
                return
            yield from (Note.parse(note) for _, note in found)
            after = found[-1][0]

    async def _chunks(self, lines: Iterator[bytes]) -> AsyncIterator[bytes]:
        while chunk := await self._in_thread(lambda: _next_chunk(lines)):
            yield chunk

    async def _facts(self, ids: list[str]) -> dict[str, Disclosures]:
        async with self._database.session() as session:
            found = await audit_events.facts_of(session, ids)
        return {event_id: disclosures_in(facts) for event_id, facts in found.items()}

    async def _notes(self, after: int, below: int) -> list[tuple[int, bytes]]:
        async with self._database.session() as session:
            return await audit_log.checkpoint_notes(session, after, below, NOTES_PER_QUERY)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (TlogError, OSError) as error:
            raise Unavailable("the audit log cannot be read here") from error


def disclosures_in(facts: bytes) -> Disclosures:
    return {
        PersonalField(name): Disclosure.model_construct(**fact)
        for name, fact in orjson.loads(facts).items()
    }


def _next_chunk(lines: Iterator[bytes]) -> bytes:
    chunk = bytearray()
    for line in lines:
        chunk += line
        if len(chunk) >= EXPORT_CHUNK_BYTES:
            break
    return bytes(chunk)
