"""Proofs out of a log of several tiles, for any sizes and for files of many events."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from tests.integration.admin.test_audit_sequencer import audit as audit_fixture
from tests.integration.admin.test_audit_sequencer import database as database_fixture
from tests.support.audit_writing import TRAIL, AuditUnderTest, make_event

from artstore.admin.repository.audit_events import EventRow
from artstore.admin.services.audit import reading as module
from artstore.admin.services.audit.reading import AuditLog
from artstore.admin.services.audit.trail import Deed, Who, row_of
from artstore.core.database import Database
from artstore.core.errors import UnknownAuditEntry
from artstore.core.model.audit import AuditKind
from artstore.core.model.ids import FileId, FileIdSource
from artstore.core.secrets.chain import fixed_login
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.merkle.proofs import verify_consistency

audit = audit_fixture
database = database_fixture


@pytest.fixture
async def log(audit: AuditUnderTest) -> AsyncIterator[AuditLog]:
    url, password = audit.database.admin_url, audit.database.admin_password
    pool = Database(url, fixed_login(password), application_name="test")
    yield AuditLog(pool, FolderStore(audit.folder), [], 0)
    await pool.close()


async def test_any_two_sizes_are_consistent(audit: AuditUnderTest, log: AuditLog) -> None:
    """Also those that never were the size of a checkpoint, whose partial tiles never were."""
    for batch in (100, 200, 300):
        await audit.tell([make_event(number) for number in range(batch)])
        await audit.write_all()
    newest = await log.newest()
    sizes = [0, 1, 2, 99, 255, 256, 257, 300, 511, 512, 513, newest.tree.size]
    roots = {size: (await log.consistency(0, size)).root for size in sizes}
    assert roots[newest.tree.size] == newest.tree.root
    for first in sizes:
        for second in (size for size in sizes if size >= first):
            proof = (await log.consistency(first, second)).proof
            verify_consistency(first, roots[first], second, roots[second], proof)
    for first, second in ((2, 1), (0, newest.tree.size + 1)):
        with pytest.raises(UnknownAuditEntry):
            await log.consistency(first, second)


def event_of(file_id: FileId, kind: AuditKind) -> EventRow:
    return row_of(*TRAIL.event_of(Who(subject="user:7"), Deed(kind, file_id=file_id)))


async def test_of_a_file_that_is_read_all_the_time_the_changes_are_proven(
    audit: AuditUnderTest, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROVEN_EVENTS_MAX", 5)
    file_id = FileIdSource().new(datetime.now(UTC), os.urandom(10))
    reads = [event_of(file_id, AuditKind.FILE_DOWNLOADED) for _ in range(4)]
    await audit.tell([event_of(file_id, AuditKind.FILE_UPLOADED), *reads])
    await audit.write_all()
    assert len((await log.proven_history(UUID(file_id))).events) == 5

    await audit.tell([*reads[:1], event_of(file_id, AuditKind.FILE_CHANGED)])
    await audit.write_all()
    proven = (await log.proven_history(UUID(file_id))).events
    policy = audit.policy()
    assert len(proven) == 2
    for item in proven:
        item.proof.verify(item.event.entry, policy)
