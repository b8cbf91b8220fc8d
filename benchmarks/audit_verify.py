"""A million audit events checked offline, as an auditor does it; and the proof of one of them.

    python -m benchmarks.audit_verify [--events 1000000] [--folder /tmp]

Makes a log in a folder, exports it, and runs `artstore audit verify` on the whole export and on a
tenth of it, each in a process of its own: what the two take of memory shows that it is constant.
Targets: 1 million in 60 s; one event with its proof, from a cold reader, in 20 ms. Takes 2 GB of
disk and some minutes, most of them to make the events.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import quantiles

from artstore.core.audit.export import export_lines
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.log import Log
from artstore.core.tlog.notes.keys import Algorithm, SigningKey
from benchmarks._audit_events import ORIGIN, entries, facts

PROOFS = 2000
BATCH_EVENTS = 4000


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
        _prove(log)


def _fill(log: Log, count: int) -> None:
    made = entries(count)
    while batch := list(islice(made, BATCH_EVENTS)):
        log.append(batch, 1)


def _export(log: Log, target: Path, end: int) -> None:
    lines = export_lines(
        log.reader(),
        log.note,
        disclosures_of=lambda ids: {event_id: facts(event_id)[1] for event_id in ids},
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


def _prove(log: Log) -> None:
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
        f"{'entry and proof, from the disk':32} p50 {cuts[49] * 1000:6.2f} ms, "
        f"p99 {cuts[98] * 1000:6.2f} ms"
    )


if __name__ == "__main__":
    main()
