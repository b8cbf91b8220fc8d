"""The writer of the audit log on a database and a folder of its own, without an admin module.

As a program: `python -m tests.support.audit_writing URL PASSWORD FOLDER` writes until it is
killed, in small batches, so that a kill meets every step often.
"""

import asyncio
import base64
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import psycopg
from tests.support.postgres import TestDatabase

from artstore.admin.jobs import audit_log as job
from artstore.admin.jobs.audit_log import AuditLogWriter
from artstore.admin.repository import audit_events
from artstore.admin.repository.audit_events import EventRow
from artstore.admin.repository.catalogue_files import Connection
from artstore.admin.repository.positions import connect
from artstore.admin.services.audit.sequencer import LogIdentity, Sequencer
from artstore.admin.services.audit.trail import Deed, Trail, Who, row_of
from artstore.admin.services.audit.witnesses import WitnessAddress, Witnesses
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import SystemClock
from artstore.core.database import Database
from artstore.core.model.audit import AuditEvent, AuditKind, commitment
from artstore.core.secrets.chain import fixed_login
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.log import CHECKPOINT
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.store import LogStore

CLOCK = SystemClock()
TRAIL = Trail(CLOCK)
IDENTITY = LogIdentity("test", Seal(lambda: base64.urlsafe_b64encode(bytes(32)).decode()))
OWN_KINDS = frozenset({AuditKind.AUDIT_STARTED, AuditKind.AUDIT_WITNESS_ALARM})


def make_event(number: int) -> EventRow:
    who = Who(subject="user:7", name="Мария", address="192.0.2.1")
    return row_of(*TRAIL.event_of(who, Deed(AuditKind.ACCOUNT_CHANGED, details={"n": number})))


def writer(
    url: str,
    password: str,
    folder: Path,
    database: Database,
    witnesses: Sequence[WitnessAddress] = (),
) -> AuditLogWriter:
    return AuditLogWriter(
        lambda: connect(url, fixed_login(password)),
        lambda: FolderStore.at(folder),
        IDENTITY,
        Witnesses(database, FolderStore(folder), witnesses, CLOCK, TRAIL),
        clock=CLOCK,
        trail=TRAIL,
    )


@dataclass
class AuditUnderTest:
    database: TestDatabase
    folder: Path
    told: set[UUID] = field(default_factory=set)
    """Events that were committed to the outbox."""

    @property
    def command(self) -> list[str]:
        """For another process."""
        urls = [self.database.admin_url, self.database.admin_password]
        return [sys.executable, "-m", "tests.support.audit_writing", *urls, str(self.folder)]

    async def connect(self) -> Connection:
        return await connect(self.database.admin_url, fixed_login(self.database.admin_password))

    async def tell(self, rows: Sequence[EventRow]) -> None:
        async with await self.connect() as connection, connection.transaction():
            await audit_events.add_many(connection, rows)
        self.told |= {row.event_id for row in rows}

    async def open(self, connection: Connection, store: LogStore | None = None) -> Sequencer:
        store = store or FolderStore.at(self.folder)
        sequencer = Sequencer(connection, store, IDENTITY, CLOCK, TRAIL)
        await sequencer.open()
        return sequencer

    async def write_all(self) -> None:
        """Whatever waits, into the log."""
        async with await self.connect() as connection:
            sequencer = await self.open(connection)
            while await sequencer.step():
                pass

    def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database.url) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def policy(self) -> TrustPolicy:
        ((origin,),) = self.query("SELECT origin FROM audit.log")
        keys = self.query("SELECT verifier_key FROM audit.log_keys")
        return TrustPolicy(str(origin), tuple(VerifierKey.parse(str(key)) for (key,) in keys))

    def entries(self) -> list[bytes]:
        """Of the log, each one checked against the signed root."""
        store = FolderStore(self.folder)
        tree = self.policy().signed_checkpoint(store.read(CHECKPOINT)).checkpoint
        return list(TreeReader(store, tree.size, tree.root).entries(0, tree.size))

    def check(self) -> list[AuditEvent]:
        """Nothing waits; log and table agree entry by entry; all that was told is there, once,
        and its facts open what it commits to. Returns the events of the log."""
        entries = self.entries()
        rows = self.query("SELECT log_index, entry, facts FROM audit.events ORDER BY log_index")
        assert [row[0] for row in rows] == list(range(len(entries)))
        assert [bytes(row[1]) for row in rows] == entries  # type: ignore[call-overload]
        assert self.query("SELECT count(*) FROM audit.outbox") == [(0,)]
        assert self.query("SELECT size FROM audit.log") == [(len(entries),)]
        events = [AuditEvent.from_entry(entry) for entry in entries]
        logged = [UUID(event.event_id) for event in events if event.kind not in OWN_KINDS]
        assert len(logged) == len(set(logged)), "an event was logged twice"
        assert set(logged) == self.told
        return events

    def facts_open(self) -> None:
        rows = self.query("SELECT entry, facts FROM audit.events")
        for entry, facts in rows:
            event = AuditEvent.from_entry(bytes(entry))  # type: ignore[call-overload]
            shown = job.orjson.loads(bytes(facts))  # type: ignore[call-overload]
            made = {name: commitment(name, **fact) for name, fact in shown.items()}
            assert made == event.personal


async def _main(url: str, password: str, folder: str) -> None:
    job.BATCH_EVERY_S = 0.01  # type: ignore[misc]
    job.LEADER_POLL_S = 0.05  # type: ignore[misc]
    job.BACKOFF_MIN_S = 0.05  # type: ignore[misc]
    job.BATCH_EVENTS_MAX = 300  # type: ignore[misc]
    random.seed(os.getpid())
    database = Database(url, fixed_login(password), application_name="audit-writer", pool_size=2)
    await writer(url, password, Path(folder), database).run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
