"""How fast audit events are made, logged and signed; `audit_verify` measures what follows.

    python -m benchmarks.audit_log [--events 100000] [--batch 500] [--folder /tmp]

One thread, a log in a folder of a real disk with every flush, checkpoints signed with Ed25519 and
ML-DSA-44 after each batch, as the sequencer does it.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.log import Log
from artstore.core.tlog.notes.keys import Algorithm, SigningKey
from benchmarks._audit_events import ORIGIN, entries

T = TypeVar("T")


def main() -> None:
    options = _options()
    keys = [
        SigningKey.from_seed(ORIGIN, kind, os.urandom(32))
        for kind in (Algorithm.ED25519, Algorithm.ML_DSA_44_COSIGNATURE)
    ]
    count = options.events
    made = _measured("events made", count, lambda: list(entries(count)))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        log = Log.create(FolderStore(Path(name)), ORIGIN, keys, 1)
        _measured("logged and signed", count, lambda: _append(log, made, options.batch))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    return parser.parse_args()


def _measured(what: str, count: int, work: Callable[[], T]) -> T:
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    result = work()
    took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    print(
        f"{what:32} {count / took_s:10.0f} events/s {took_s:8.2f} s "
        f"{cpu_s / count * 1e6:8.1f} us of CPU an event"
    )
    return result


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


if __name__ == "__main__":
    main()
