"""How fast audit events are made, logged and signed, exported, verified and proven.

    python -m benchmarks.audit_log [--events 100000] [--batch 500] [--folder /tmp]

One thread, a log in a folder of a real disk with every flush, checkpoints signed with Ed25519 and
ML-DSA-44 after each batch, as the sequencer does it.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

from artstore.core.audit.export import export_lines
from artstore.core.audit.lines import lines_of
from artstore.core.audit.verification import verify_export
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
from artstore.core.tlog.notes.policy import TrustPolicy

T = TypeVar("T")

ORIGIN = "benchmark.example/audit"
PROOFS = 2000


def main() -> None:
    options = _options()
    keys = [
        SigningKey.from_seed(ORIGIN, kind, os.urandom(32))
        for kind in (Algorithm.ED25519, Algorithm.ML_DSA_44_COSIGNATURE)
    ]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        facts: dict[str, Disclosures] = {}
        entries = _measured("events made", options.events, lambda: _entries(options.events, facts))
        log = Log.create(FolderStore(folder), ORIGIN, keys, 1)
        _measured("logged and signed", options.events, lambda: _append(log, entries, options.batch))
        export = folder / "export.jsonl"
        _measured("exported", options.events, lambda: _export(log, export, facts))
        print(
            f"{'bytes of an export, per event':32} {export.stat().st_size / options.events:10.0f}"
        )
        policy = TrustPolicy(ORIGIN, tuple(key.verifier for key in keys))
        _measured("verified", options.events, lambda: _verify(export, policy))
        prove(log)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    return parser.parse_args()


def _measured(what: str, count: int, work: Callable[[], T]) -> T:
    started_s = time.perf_counter()
    result = work()
    took_s = time.perf_counter() - started_s
    print(f"{what:32} {count / took_s:10.0f} events/s {took_s:8.2f} s")
    return result


def _entries(count: int, facts: dict[str, Disclosures]) -> list[bytes]:
    return [event.to_entry() for event in _events(count, facts)]


def _events(count: int, facts: dict[str, Disclosures]) -> Iterator[AuditEvent]:
    ids, start = FileIdSource(), datetime.now(UTC)
    for number in range(count):
        at = start + timedelta(microseconds=number * 300)
        personal, disclosures = commit_to(
            {PersonalField.ACTOR_NAME: "archive-bot", PersonalField.CLIENT_ADDRESS: "192.0.2.7"},
            os.urandom,
        )
        event = AuditEvent(
            event_id=ids.new(at, os.urandom(10)),
            kind=AuditKind.FILE_UPLOADED,
            outcome=Outcome.SUCCEEDED,
            at=at,
            actor=Actor(account="acc-1", token_id="t" * 22, services=("edge/edge-1",)),
            file_id=ids.new(at, os.urandom(10)),
            collection="contracts",
            correlation_id=os.urandom(16).hex(),
            details={"sha256": os.urandom(32).hex(), "size": number},
            personal=personal,
        )
        facts[event.event_id] = disclosures
        yield event


def _append(log: Log, entries: list[bytes], batch: int) -> None:
    times_s = []
    for start in range(0, len(entries), batch):
        started_s = time.perf_counter()
        log.append(entries[start : start + batch], 1)
        times_s.append(time.perf_counter() - started_s)
    cuts = quantiles(times_s, n=100)
    print(
        f"{'one batch, durable and signed':32} p50 {median(times_s) * 1000:6.1f} ms, "
        f"p99 {cuts[98] * 1000:6.1f} ms"
    )


def _export(log: Log, target: Path, facts: dict[str, Disclosures]) -> None:
    with target.open("wb") as file:
        file.writelines(
            export_lines(
                log.reader(),
                log.note,
                disclosures_of=lambda ids: {event_id: facts[event_id] for event_id in ids},
            )
        )


def _verify(export: Path, policy: TrustPolicy) -> None:
    with export.open("rb") as file:
        verify_export(lines_of(file), policy)


def prove(log: Log) -> None:
    chance, times_s = random.Random(1), []
    for _ in range(PROOFS):
        index = chance.randrange(log.checkpoint.size)
        # A new reader each time: nothing is in memory, as after a restart.
        started_s = time.perf_counter()
        reader = log.reader()
        reader.inclusion_proof(index)
        reader.entry(index)
        times_s.append(time.perf_counter() - started_s)
    cuts = quantiles(times_s, n=100)
    print(
        f"{'entry and proof, from the disk':32} p50 {median(times_s) * 1000:6.2f} ms, "
        f"p99 {cuts[98] * 1000:6.2f} ms"
    )


if __name__ == "__main__":
    main()
