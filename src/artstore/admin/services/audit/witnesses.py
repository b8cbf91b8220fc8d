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
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.core.clock import Clock
from artstore.core.database import Database
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

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """All of them at once, for the newest checkpoint. Its note is kept with what they say.

        Raises:
            Unavailable: The database is away.
            TlogError, OSError: The log's files cannot be read.
        """
        note = Note.parse(await asyncio.to_thread(self._store.read, CHECKPOINT))
        size = Checkpoint.parse(note.text).size
        async with self._database.session() as database:
            known = await audit_log.witness_sizes(await connection_of(database))
        behind = [item for item in self._witnesses if known.get(item.name, 0) < size]
        answers = await asyncio.gather(
            *(self._ask_one(session, item, note, known.get(item.name, 0)) for item in behind)
        )
        lines = [line for answer in answers for line in answer]
        if lines:
            await self._keep(note.with_signatures(lines), size)

    async def _keep(self, note: Note, size: int) -> None:
        now = self._clock.now()
        names = {line.name for line in note.signatures} & {item.name for item in self._witnesses}
        async with self._database.session() as database:
            connection = await connection_of(database)
            data = note.to_bytes()
            await audit_log.save_checkpoint(connection, size, data, now, len(names))
            for name in names:
                await audit_log.save_witness(connection, name, size, now)

    async def _ask_one(
        self, session: aiohttp.ClientSession, witness: WitnessAddress, note: Note, known_size: int
    ) -> tuple[SignatureLine, ...]:
        tree = Checkpoint.parse(note.text)
        AUDIT_WITNESS_BEHIND.labels(witness.name).set(tree.size - known_size)
        reader = TreeReader(self._store, tree.size, tree.root)
        try:
            lines = await _converse(
                session, witness, cosigning(reader, note, witness.keys, known_size)
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            get_logger().warning("witness does not answer", witness=witness.name, cause=repr(error))
            return ()
        except (WitnessRefused, TlogError) as error:
            await self._alarm(witness, error)
            return ()
        AUDIT_WITNESS_BEHIND.labels(witness.name).set(0)
        return lines

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
        async with self._database.session() as database:
            await self._trail.record(database, Who(), deed)


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
            body = await response.content.read(NOTE_BYTES_MAX)
            answer = Answer(response.status, response.content_type, body)


def _advance(flow: Cosigning, answer: Answer | None) -> bytes | tuple[SignatureLine, ...]:
    """The next request, or the end. It reads tiles, so it runs in a thread."""
    try:
        return next(flow) if answer is None else flow.send(answer)
    except StopIteration as end:
        lines: tuple[SignatureLine, ...] = end.value
        return lines
