"""Asks the witnesses to confirm the newest state of the log.

On its own time: a slow witness delays nothing and nobody. One that does not answer is behind,
which is a metric; one that answers what cannot be true raises an alarm, which is an event too.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from artstore.admin.repository import audit_log
from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.services.audit.answers import whole_body
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import AUDIT_WITNESS_ALARMS, AUDIT_WITNESS_BEHIND
from artstore.core.model.audit import AuditKind, Outcome, Target
from artstore.core.settings import ConfigurationError
from artstore.core.tlog.errors import InvalidKey, TlogError
from artstore.core.tlog.log import CHECKPOINT
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.note import NOTE_BYTES_MAX, Note, SignatureLine
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.store import LogStore
from artstore.core.tlog.witnessing import Answer, Cosigning, WitnessRefused, cosigning

ANSWER_TIMEOUT_S: Final = 15.0
CONVERSATION_TIMEOUT_S: Final = 60.0
ALARM_AGAIN_AFTER_S: Final = 3600.0


@dataclass(frozen=True)
class WitnessAddress:
    name: str
    url: str
    keys: tuple[VerifierKey, ...]


def read_witnesses(path: Path | None) -> tuple[WitnessAddress, ...]:
    """One a line: its URL and its public keys, with spaces between. `#` begins a comment.

    Raises:
        ConfigurationError: The file cannot be read or says something else.
    """
    if path is None:
        return ()
    try:
        lines = [line.partition("#")[0].split() for line in path.read_text().splitlines()]
        return tuple(_address(*parts) for parts in lines if parts)
    except (OSError, UnicodeDecodeError, InvalidKey, ValueError) as error:
        raise ConfigurationError(f"{path}: not a list of witnesses ({error})") from None


def _address(url: str, *keys: str) -> WitnessAddress:
    parsed = tuple(VerifierKey.parse(key) for key in keys)
    if len({key.name for key in parsed}) != 1 or not all(key.algorithm.is_timed for key in parsed):
        raise ValueError(f"{url}: a witness has one name and keys for cosignatures")
    return WitnessAddress(parsed[0].name, url.rstrip("/"), parsed)


class Witnesses:
    """Asks in rounds, all witnesses for one and the same state, so that a quorum of them can
    stand under it. Who has not answered when the next round begins sits it out."""

    def __init__(
        self,
        database: Database,
        store: LogStore,
        witnesses: Sequence[WitnessAddress],
        clock: Clock,
        trail: Trail,
    ) -> None:
        self._database = database
        self._store = store
        self._witnesses = witnesses
        self._clock = clock
        self._trail = trail
        self._alarmed_at_s: dict[tuple[str, str], float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def begin_round(self, session: aiohttp.ClientSession) -> None:
        """For the newest checkpoint. What each one says is kept when it comes.

        Raises:
            Unavailable: The database is away.
            TlogError, OSError: The log's files cannot be read.
        """
        note = Note.parse(await asyncio.to_thread(self._store.read, CHECKPOINT))
        size = Checkpoint.parse(note.text).size
        async with self._database.session() as database:
            known = await audit_log.witness_sizes(await connection_of(database))
        for witness in self._witnesses:
            behind = size - known.get(witness.name, 0)
            AUDIT_WITNESS_BEHIND.labels(witness.name).set(behind)
            asking = self._asking.get(witness.name)
            if behind > 0 and (asking is None or asking.done()):
                self._asking[witness.name] = asyncio.create_task(
                    self._ask(session, witness, note, known.get(witness.name, 0)),
                    name=f"ask witness {witness.name}",
                )

    async def end(self) -> None:
        """Nobody is waited for any longer."""
        for asking in self._asking.values():
            asking.cancel()
        if self._asking:
            await asyncio.wait(self._asking.values())

    async def _ask(
        self, session: aiohttp.ClientSession, witness: WitnessAddress, note: Note, known_size: int
    ) -> None:
        tree = Checkpoint.parse(note.text)
        reader = TreeReader(self._store, tree.size, tree.root)
        flow = cosigning(reader, note, witness.keys, known_size)
        try:
            async with asyncio.timeout(CONVERSATION_TIMEOUT_S):
                lines = await _converse(session, witness, flow)
            await self._keep(witness, note, tree.size, lines)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            get_logger().warning("witness does not answer", witness=witness.name, cause=repr(error))
        except Unavailable as error:
            get_logger().warning("cosignature is not kept", cause=repr(error))
        except (WitnessRefused, TlogError) as error:
            await self._alarm(witness, error)
        else:
            AUDIT_WITNESS_BEHIND.labels(witness.name).set(0)

    async def _keep(
        self, witness: WitnessAddress, note: Note, size: int, lines: Sequence[SignatureLine]
    ) -> None:
        """Beside what other witnesses have said about the same state."""
        now = self._clock.now()
        ours = {item.name for item in self._witnesses}
        async with self._database.session() as database:
            connection = await connection_of(database)
            await audit_log.lock_checkpoints(connection)
            kept = await audit_log.checkpoint_of(connection, size)
            whole = (Note.parse(kept) if kept else note).with_signatures(lines)
            names = {line.name for line in whole.signatures} & ours
            await audit_log.save_checkpoint(
                connection, size, whole.to_bytes(), now, witnesses=len(names)
            )
            await audit_log.save_witness(connection, witness.name, size, now)

    async def _alarm(self, witness: WitnessAddress, error: Exception) -> None:
        AUDIT_WITNESS_ALARMS.labels(witness.name).inc()
        get_logger().error("witness alarm", witness=witness.name, cause=repr(error))
        key = (witness.name, type(error).__name__)
        now_s = self._clock.monotonic_s()
        if now_s - self._alarmed_at_s.get(key, float("-inf")) < ALARM_AGAIN_AFTER_S:
            return
        self._alarmed_at_s[key] = now_s
        deed = Deed(
            AuditKind.AUDIT_WITNESS_ALARM,
            Outcome.FAILED,
            target=Target(type="witness", id=witness.name),
            details={"alarm": type(error).__name__, "message": str(error)[:500]},
        )
        try:
            async with self._database.session() as database:
                await self._trail.record(database, Who(), deed)
        except Unavailable as unavailable:
            get_logger().warning("alarm is not written down", cause=repr(unavailable))
            del self._alarmed_at_s[key]


async def _converse(
    session: aiohttp.ClientSession, witness: WitnessAddress, flow: Cosigning
) -> tuple[SignatureLine, ...]:
    answer: Answer | None = None
    while True:
        step = await asyncio.to_thread(_advance, flow, answer)
        if isinstance(step, tuple):
            return step
        async with session.post(
            f"{witness.url}/add-checkpoint",
            data=step,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
        ) as response:
            body = await whole_body(response, NOTE_BYTES_MAX)
            answer = Answer(response.status, response.content_type, body)


def _advance(flow: Cosigning, answer: Answer | None) -> bytes | tuple[SignatureLine, ...]:
    """The next request, or the end. It reads tiles, so it runs in a thread."""
    try:
        return next(flow) if answer is None else flow.send(answer)
    except StopIteration as end:
        lines: tuple[SignatureLine, ...] = end.value
        return lines
