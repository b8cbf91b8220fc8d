"""Logs, keys and audit events for tests: the same ones at every run."""

import errno
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.support.simulated_fs import Image, SimulatedFs

from artstore.core.model.audit import (
    Actor,
    AuditEvent,
    AuditKind,
    Disclosures,
    Outcome,
    PersonalField,
    commit_to,
)
from artstore.core.model.ids import FileIdSource
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.log import Log
from artstore.core.tlog.notes.keys import Algorithm, SigningKey
from artstore.core.tlog.notes.note import Note, signature_line
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.store import LogStore, MemoryStore

ORIGIN = "artstore.example/audit"
T0 = 1_800_000_000
"""Seconds since 1970."""
START = datetime.fromtimestamp(T0, UTC)

KINDS = (
    AuditKind.FILE_UPLOADED,
    AuditKind.FILE_DOWNLOADED,
    AuditKind.SIGN_IN,
    AuditKind.ACCESS_REFUSED,
    AuditKind.FILE_DELETED,
)


def key(name: str, algorithm: Algorithm = Algorithm.ED25519, number: int = 1) -> SigningKey:
    seed = sha256(f"{name} {algorithm} {number}".encode()).digest()
    return SigningKey.from_seed(name, algorithm, seed)


LOG_KEY = key(ORIGIN)
LOG_KEY_PQ = key(ORIGIN, Algorithm.ML_DSA_44_COSIGNATURE)
WITNESS_KEY = key("witness.example/w1", Algorithm.ED25519_COSIGNATURE)
OTHER_WITNESS_KEY = key("witness.example/w2", Algorithm.ED25519_COSIGNATURE, 2)

POLICY = TrustPolicy(ORIGIN, (LOG_KEY.verifier,))
WITNESSED = TrustPolicy(ORIGIN, (LOG_KEY.verifier,), (WITNESS_KEY.verifier,), 1)


class FolderFs(SimulatedFs):
    """The simulated disk, with the one call more that a log makes."""

    def remove_directory(self, path: str) -> None:
        self.before_step(f"rmdir {path}")
        number = self._find(path)
        if self._directory(number).current:
            raise OSError(errno.ENOTEMPTY, path)
        directory, name = self._parent(path)
        self._change([(directory, name, None)])

    def after_power_cut(self, chance: random.Random, random_count: int) -> Iterator[Image]:
        """Disks that a power cut now may leave."""
        for plan in self.crash_plans(chance, random_count):
            yield self.image(plan)


def make_log(store: LogStore | None = None, keys: Sequence[SigningKey] = (LOG_KEY,)) -> Log:
    return Log.create(store or MemoryStore(), ORIGIN, keys, T0)


def folder_store(root: Path, fs: SimulatedFs) -> FolderStore:
    return FolderStore(root, fs)  # type: ignore[arg-type]


def entry(number: int, flavour: str = "") -> bytes:
    return b"entry %d %s" % (number, flavour.encode())


def cosigned(note: Note, *keys: SigningKey, at: int = T0 + 60) -> Note:
    return note.with_signatures(
        signature_line(note.text, witness, at) for witness in keys or (WITNESS_KEY,)
    )


@dataclass
class AuditLog:
    """An audit log in memory with the facts behind its commitments, cosigned in steps."""

    size: int
    step: int = 25
    """A checkpoint after each so many events, all of them cosigned."""
    log_keys: Sequence[SigningKey] = (LOG_KEY,)
    witness_keys: Sequence[SigningKey] = (WITNESS_KEY,)
    seed: int = 1
    store: MemoryStore = field(default_factory=MemoryStore)
    facts: dict[str, Disclosures] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = make_log(self.store, self.log_keys)
        self.events: list[AuditEvent] = []
        for event, facts in audit_events(self.size, self.seed):
            self.events.append(event)
            self.facts[event.event_id] = facts
        for start in range(0, self.size, self.step):
            self.append(self.events[start : start + self.step])

    def append(self, events: Sequence[AuditEvent]) -> None:
        self.log.append([event.to_entry() for event in events], T0 + len(self.notes))
        self.notes.append(cosigned(self.log.note, *self.witness_keys, at=T0 + len(self.notes)))

    def disclosures_of(self, event_ids: list[str]) -> dict[str, Disclosures]:
        return {event_id: self.facts[event_id] for event_id in event_ids}


def audit_events(count: int, seed: int = 1) -> Iterator[tuple[AuditEvent, Disclosures]]:
    chance = random.Random(seed)
    ids = FileIdSource()
    for number in range(count):
        at = START + timedelta(milliseconds=number * 7)
        personal, facts = commit_to(
            {
                PersonalField.ACTOR_NAME: chance.choice(("Мария", "archive-bot", "o'neil")),
                PersonalField.CLIENT_ADDRESS: f"192.0.2.{chance.randrange(256)}",
            },
            chance.randbytes,
        )
        kind = chance.choice(KINDS)
        file_id = ids.new(at, chance.randbytes(10))
        event = AuditEvent(
            event_id=ids.new(at, chance.randbytes(10)),
            kind=kind,
            outcome=chance.choice(tuple(Outcome)),
            at=at,
            actor=Actor(
                person="usr-7",
                account=None,
                token_id=chance.randbytes(8).hex(),
                services=("edge/edge-1", "query/query-1"),
            ),
            file_id=file_id,
            collection="contracts",
            element_id="rw-1",
            correlation_id=chance.randbytes(16).hex(),
            details=_details(chance),
            personal=personal,
        )
        yield event, facts


def _details(chance: random.Random) -> dict[str, Any]:
    return {"sha256": chance.randbytes(32).hex(), "size": chance.randrange(1 << 40)}
