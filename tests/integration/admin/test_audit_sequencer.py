"""Goal: each event is in the log exactly once, and the table shows the log, whatever fails.

Method: break each step of a batch in turn, on the disk and in the database, and open again;
put the database or the folder back to an earlier state; tell events twice.
"""

import asyncio
import errno
import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from tests.integration.admin.following import eventually
from tests.support.admin import MakeDatabase
from tests.support.audit_writing import AuditUnderTest, make_event
from tests.support.postgres import TestDatabase

from artstore.admin.repository import audit_events, audit_log
from artstore.admin.repository.audit_events import EventRow
from artstore.admin.schema import migrate
from artstore.admin.services.audit.trail import row_of
from artstore.core.model.audit import (
    AuditEvent,
    AuditKind,
    PersonalField,
    commit_to,
    commitment,
)
from artstore.core.secrets.chain import fixed_login
from artstore.core.tlog.errors import DamagedLog, LogRolledBack, UntrustedNote
from artstore.core.tlog.folder import FolderStore

RUNBOOK = Path(__file__).parents[3] / "docs/operations/runbooks/AuditLogBroken.md"
KILLS = int(os.environ.get("ARTSTORE_AUDIT_KILLS", "4"))


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> TestDatabase:
    made = make_database("audit_log")
    migrate(made.admin_url, fixed_login(made.admin_password))
    return made


@pytest.fixture
def audit(database: TestDatabase, tmp_path: Path) -> AuditUnderTest:
    """No log yet."""
    under_test = AuditUnderTest(database, tmp_path / "log")
    tables = under_test.query("SELECT tablename FROM pg_tables WHERE schemaname = 'audit'")
    names = ", ".join(f"audit.{name}" for (name,) in tables)
    under_test.query(f"TRUNCATE {names} RESTART IDENTITY")
    return under_test


class FailingStore(FolderStore):
    """Fails at its `fail_at`-th write, before or after it was done."""

    fail_at = -1
    is_done_first = False
    error = errno.ENOSPC
    calls = 0

    def publish(self, objects: Any) -> None:
        self._maybe(lambda: super(FailingStore, self).publish(objects))

    def replace(self, path: str, data: bytes) -> None:
        self._maybe(lambda: super(FailingStore, self).replace(path, data))

    def remove_folder(self, folder: str) -> None:
        self._maybe(lambda: super(FailingStore, self).remove_folder(folder))

    def _maybe(self, work: Any) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            if self.is_done_first:
                work()
            raise OSError(self.error, os.strerror(self.error))
        work()


async def test_events_are_logged_in_their_order(audit: AuditUnderTest) -> None:
    rows = [make_event(number) for number in range(700)]
    await audit.tell(rows)
    await audit.write_all()

    events = audit.check()
    numbers = [e.details["n"] for e in events if e.kind == AuditKind.ACCOUNT_CHANGED]
    assert numbers == list(range(700))
    audit.facts_open()


@pytest.mark.parametrize("is_done_first", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fail_at", range(1, 5))
async def test_a_failing_disk_loses_and_doubles_nothing(
    audit: AuditUnderTest, fail_at: int, is_done_first: bool
) -> None:
    await audit.tell([make_event(number) for number in range(250)])
    await audit.write_all()
    await audit.tell([make_event(number) for number in range(250, 600)])
    async with await audit.connect() as connection:
        store = FailingStore(audit.folder)
        sequencer = await audit.open(connection, store)
        store.calls, store.fail_at, store.is_done_first = 0, fail_at, is_done_first
        try:
            await sequencer.step()
        except OSError:
            assert not audit.query("SELECT 1 FROM audit.events WHERE log_index > 250"), (
                "the table never runs ahead of the log"
            )
    await audit.write_all()

    audit.check()
    audit.facts_open()


@pytest.mark.parametrize("step", ["move", "indexed", "save_checkpoint"])
async def test_a_database_that_fails_behind_the_log_loses_and_doubles_nothing(
    audit: AuditUnderTest, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The log has the entries, the table does not know it yet."""
    await audit.tell([make_event(number) for number in range(300)])
    module = audit_events if step == "move" else audit_log

    async def fail(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("injected")

    async with await audit.connect() as connection:
        sequencer = await audit.open(connection)
        with monkeypatch.context() as broken:
            broken.setattr(module, step, fail)
            with pytest.raises(psycopg.OperationalError):
                await sequencer.step()
    await audit.tell([make_event(number) for number in range(300, 310)])
    await audit.write_all()

    audit.check()
    audit.facts_open()


async def test_an_event_told_again_is_logged_once(audit: AuditUnderTest) -> None:
    rows = [make_event(number) for number in range(20)]
    await audit.tell(rows)
    await audit.tell(rows[:5])
    await audit.write_all()
    await audit.tell([*rows[10:], make_event(20)])
    await audit.write_all()

    audit.check()


async def test_what_is_told_twice_in_one_batch_is_logged_once(audit: AuditUnderTest) -> None:
    rows = [make_event(number) for number in range(20)]
    await audit.tell([*rows, *rows[5:10]])
    await audit.write_all()

    audit.check()
    audit.facts_open()


async def test_a_database_put_back_is_filled_from_the_log(audit: AuditUnderTest) -> None:
    rows = [make_event(number) for number in range(400)]
    await audit.tell(rows)
    await audit.write_all()
    audit.query("DELETE FROM audit.events WHERE log_index >= 100")
    audit.query("UPDATE audit.log SET size = 100, planned_size = 100")
    # Some come again, from the feed of an element for example; the others are only in the log.
    await audit.tell(rows[200:])
    await audit.write_all()

    audit.check()
    lost = audit.query("SELECT log_index FROM audit.events WHERE facts IS NULL ORDER BY log_index")
    # The last one was the writer's own.
    assert [index for (index,) in lost] == [*range(100, 200), 400]


async def test_facts_told_anew_by_a_feed_never_stand_under_the_commitments_of_before(
    audit: AuditUnderTest,
) -> None:
    """The database was put back, and the feed told the same events again, with other salts,
    before the writer had filled the table from the log."""
    rows = [make_event(number) for number in range(20)]
    await audit.tell(rows)
    await audit.write_all()
    audit.query("DELETE FROM audit.events WHERE log_index >= 10")
    audit.query("UPDATE audit.log SET size = 10, planned_size = 10")
    retold = [salted_anew(row) for row in rows[10:]]
    assert all(new.event_id == old.event_id for new, old in zip(retold, rows[10:], strict=True))
    await audit.tell([*retold, rows[19]])
    await audit.write_all()

    audit.check()
    shown = audit.query("SELECT entry, facts FROM audit.events WHERE facts IS NOT NULL")
    for entry, facts in shown:
        event = AuditEvent.from_entry(bytes(entry))  # type: ignore[call-overload]
        opened = orjson.loads(bytes(facts))  # type: ignore[call-overload]
        assert {name: commitment(name, **fact) for name, fact in opened.items()} == event.personal


def salted_anew(row: EventRow) -> EventRow:
    event = AuditEvent.from_entry(row.entry)
    told = orjson.loads(row.facts or b"").items()
    known = {PersonalField(name): fact["value"] for name, fact in told}
    personal, facts = commit_to(known, os.urandom)
    return row_of(event.model_copy(update={"personal": personal}), facts)


async def test_an_older_copy_of_the_folder_is_not_written_to(
    audit: AuditUnderTest, tmp_path: Path
) -> None:
    await audit.tell([make_event(0)])
    await audit.write_all()
    shutil.copytree(audit.folder, tmp_path / "copy")
    await audit.tell([make_event(1)])
    await audit.write_all()
    shutil.rmtree(audit.folder)
    shutil.move(tmp_path / "copy", audit.folder)
    before = {path: path.read_bytes() for path in audit.folder.rglob("*") if path.is_file()}

    async with await audit.connect() as connection:
        with pytest.raises(LogRolledBack):
            await audit.open(connection)
    assert before == {path: path.read_bytes() for path in audit.folder.rglob("*") if path.is_file()}


async def test_a_database_from_before_a_rotation_is_helped_as_the_runbook_says(
    audit: AuditUnderTest,
) -> None:
    await audit.tell([make_event(0)])
    await audit.write_all()
    before = audit.query("SELECT * FROM audit.log_keys")
    audit.query("UPDATE audit.log_keys SET retired_at = now()")
    await audit.tell([make_event(1)])
    await audit.write_all()
    lost = audit.query("DELETE FROM audit.log_keys RETURNING verifier_key, retired_at")
    for row in before:
        audit.query("INSERT INTO audit.log_keys VALUES (%s, %s, %s, %s)", *row)
    await audit.tell([make_event(2)])
    with pytest.raises(UntrustedNote):
        await audit.write_all()

    (statement,) = re.findall(r"```sql\n(.*?)```", RUNBOOK.read_text(), re.DOTALL)
    for public, retired_at in lost:
        if retired_at is None:
            audit.query(statement.replace("the public key", str(public)))
    await audit.write_all()
    audit.check()


async def test_an_empty_folder_is_not_taken_for_a_new_log(audit: AuditUnderTest) -> None:
    await audit.tell([make_event(0)])
    await audit.write_all()
    shutil.rmtree(audit.folder)

    async with await audit.connect() as connection:
        with pytest.raises(DamagedLog):
            await audit.open(connection)
    assert audit.query("SELECT count(*) FROM audit.events") != [(0,)]


async def test_killed_writers_lose_and_double_nothing(audit: AuditUnderTest) -> None:
    """Two instances, one of them killed again and again, while events come, some told twice."""
    chance = random.Random(4)
    telling = asyncio.create_task(_tell_on(audit))
    writers = [_start(audit), _start(audit)]
    try:
        for _ in range(KILLS):
            size = _size(audit)
            await eventually(lambda size=size: _is(_size(audit) > size), "the log growing", 60)
            await asyncio.sleep(chance.uniform(0, 0.3))
            victim = chance.randrange(2)
            writers[victim].kill()
            writers[victim].wait()
            writers[victim] = _start(audit)
    finally:
        telling.cancel()
        await asyncio.wait([telling])
        for writer in writers:
            writer.kill()
            writer.wait()
    await audit.write_all()

    events = audit.check()
    audit.facts_open()
    started = [event for event in events if event.kind is AuditKind.AUDIT_STARTED]
    assert len(audit.told) > 50
    assert len(started) >= 2, "nobody took over"


def _size(audit: AuditUnderTest) -> int:
    rows = audit.query("SELECT size FROM audit.log")
    return int(str(rows[0][0])) if rows else 0


async def _is(value: bool) -> bool:
    return value


def _start(audit: AuditUnderTest) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        audit.command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )


async def _tell_on(audit: AuditUnderTest) -> None:
    number = 0
    last: list[Any] = []
    while True:
        rows = [make_event(number + offset) for offset in range(20)]
        await asyncio.shield(audit.tell([*last, *rows]))
        number, last = number + len(rows), rows[-3:]
        await asyncio.sleep(0.005)
