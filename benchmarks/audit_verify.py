"""A million audit events checked offline, as an auditor does it; and the proof of one of them.

    python -m benchmarks.audit_verify [--events 1000000] [--folder /tmp]

Makes a log in a folder, exports it, and runs `artstore audit verify` on the whole export and on a
tenth of it, each in a process of its own: what the two take of memory shows that it is constant.
Targets: 1 million in 60 s; one event with its proof, from a cold reader, in 20 ms. Takes 2 GB of
disk and some minutes, most of them to make the events.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from artstore.core.audit.export import export_lines
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
from benchmarks.audit_log import ORIGIN, prove

BATCH_EVENTS = 4000
FACTS = {PersonalField.ACTOR_NAME: "archive-bot", PersonalField.CLIENT_ADDRESS: "192.0.2.7"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        key = SigningKey.from_seed(ORIGIN, Algorithm.ED25519, os.urandom(32))
        log = Log.create(FolderStore(Path(name)), ORIGIN, [key], 1)
        _fill(log, options.events)
        for count in (options.events // 10, options.events):
            export = Path(name) / f"export-{count}"
            _export(log, export, count)
            _verify(export, count, str(key.verifier))
        prove(log)


def _fill(log: Log, count: int) -> None:
    ids, start = FileIdSource(), datetime.now(UTC)
    for first in range(0, count, BATCH_EVENTS):
        numbers = range(first, min(first + BATCH_EVENTS, count))
        log.append([_event(ids, start, number).to_entry() for number in numbers], 1)


def _event(ids: FileIdSource, start: datetime, number: int) -> AuditEvent:
    at = start + timedelta(microseconds=number * 300)
    event_id = ids.new(at, os.urandom(10))
    return AuditEvent(
        event_id=event_id,
        kind=AuditKind.FILE_UPLOADED,
        outcome=Outcome.SUCCEEDED,
        at=at,
        actor=Actor(account="acc-1", token_id="t" * 22, services=("edge/edge-1",)),
        file_id=ids.new(at, os.urandom(10)),
        collection="contracts",
        correlation_id=os.urandom(16).hex(),
        details={"sha256": os.urandom(32).hex(), "size": number},
        personal=_facts(event_id)[0],
    )


def _facts(event_id: str) -> tuple[dict[PersonalField, str], Disclosures]:
    """Made again from the id, so that a million of them need not be kept."""
    return commit_to(FACTS, lambda _: sha256(event_id.encode()).digest())


def _export(log: Log, target: Path, end: int) -> None:
    lines = export_lines(
        log.reader(),
        log.note,
        disclosures_of=lambda ids: {event_id: _facts(event_id)[1] for event_id in ids},
        end=end,
    )
    with target.open("wb") as file:
        file.writelines(lines)


def _verify(export: Path, count: int, key: str) -> None:
    command = [sys.executable, "-m", "artstore.cli", "audit", "verify", str(export)]
    started_s = time.perf_counter()
    process = subprocess.Popen([*command, "--key", key, "--part"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took_s = time.perf_counter() - started_s
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "the export is not true"
    print(
        f"{count:>9} events, {export.stat().st_size / 1e6:6.0f} MB, verified in {took_s:6.1f} s, "
        f"{count / took_s:7.0f} events/s, {usage.ru_utime:6.1f} s of CPU, "
        f"at most {usage.ru_maxrss / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
