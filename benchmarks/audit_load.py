"""What catalogue and audit cost uploads, and how many events a second they take, in one run.

    python -m benchmarks.audit_load [--rate 1000] [--rounds 5] [--seconds 10] [--edge]

Starts an ArtStore of its own and uploads files of 4 KiB, straight to the ingester over mutual TLS
or as an ordinary user through the edge, in rounds of three phases:

    alone      nobody follows the elements: neither catalogue nor audit events
    followed   catalogue rows and audit events are written, but no log
    audited    everything

First `--rate` uploads a second in each phase, on a timetable that does not wait for answers:
latencies compare at one and the same load only, and what waits counts from when it was due. Each
round begins with another phase, and latencies are compared within a round, where the machine is
most alike; medians of these ratios are shown with the lowest and the highest. Then as many uploads
as are answered, for the events a second that are logged beside them.

What is left out is left out by holding the advisory locks of those who do it, as another instance
would. What piled up is written down before the next phase begins. Beside the latencies stands the
CPU time of each process per upload, which other work on the machine disturbs little.
"""

import argparse
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psycopg

from artstore.admin.repository.audit_log import LOCK_KEY
from artstore.admin.repository.positions import lock_key
from artstore.local.modules import ELEMENTS
from benchmarks._load import Measured, run_load
from benchmarks._stack import RunningStack, cost_text, running_stack
from benchmarks.ingest import ArtStore

Connection = psycopg.Connection[tuple[object, ...]]

FILE_BYTES = 4096
FOLLOWERS = [lock_key(name) for name in ELEMENTS]
PHASES = {"alone": [*FOLLOWERS, LOCK_KEY], "followed": [LOCK_KEY], "audited": []}
# One argument or two: pg_locks shows a 64-bit key in halves.
_HOLDERS = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()
  AND ((classid::bigint << 32) | objid::bigint) = %s
"""
DRAINED_LIMIT_S = 600
SETTLING_S = 1.0
SUSTAINED_BACKLOG_S = 2.0
"""An event is in the log within 0.25 s (followers) and 0.5 s (writer), each with its own work."""


@dataclass(frozen=True)
class Phase:
    name: str
    load: Measured
    logged_per_s: float
    backlog: int
    """Uploads without an entry in the log at the moment when the last one was answered."""
    cost: str


class Bench:
    def __init__(self, stack: RunningStack, connection: Connection, *, through_edge: bool) -> None:
        self._stack = stack
        self._connection = connection
        self._target = ArtStore(stack, through_edge=through_edge, unknown=False)

    def run(self, name: str, rate: float, connections: int, seconds: float) -> Phase:
        load = replace(self._target.load(FILE_BYTES, connections, seconds), rate=rate)
        with held(self._connection, PHASES[name]):
            size, spent = self._logged(), self._stack.cpu_s()
            measured = run_load(self._target.port, load)
            logged, cost = self._logged() - size, self._stack.cpu_s()
        phase = Phase(
            name,
            measured,
            logged / measured.seconds,
            measured.requests - logged,
            cost_text(spent, cost, measured.requests),
        )
        self._drain(size + measured.requests)
        return phase

    def _logged(self) -> int:
        row = self._connection.execute("SELECT size FROM audit.log").fetchone()
        return int(str(row[0])) if row else 0

    def _drain(self, size: int) -> None:
        deadline_s = time.monotonic() + DRAINED_LIMIT_S
        while self._logged() < size:
            if time.monotonic() > deadline_s:
                raise SystemExit("the log does not catch up")
            time.sleep(0.1)
        time.sleep(SETTLING_S)


@contextlib.contextmanager
def held(connection: Connection, keys: Sequence[int]) -> Iterator[None]:
    """Take these locks from whoever has them, and let them be taken again at the end."""
    for key in keys:
        while not _try_lock(connection, key):
            for (pid,) in connection.execute(_HOLDERS, (key,)).fetchall():
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock_all()")


def _try_lock(connection: Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return bool(row and row[0])


def at_one_rate(bench: Bench, options: argparse.Namespace) -> None:
    print(f"\n{options.rate:.0f} uploads/s on a timetable, {options.connections} connections")
    rounds: list[Mapping[str, Phase]] = []
    names = list(PHASES)
    for number in range(options.rounds):
        first = number % len(names)
        found = {}
        for name in (*names[first:], *names[:first]):
            found[name] = bench.run(name, options.rate, options.connections, options.seconds)
            show(number + 1, found[name])
        rounds.append(found)
    for name, other in (("audited", "alone"), ("followed", "alone"), ("audited", "followed")):
        growths = ", ".join(
            f"{what[:3]} {growth(rounds, name, other, what)}" for what in ("p50_ms", "p99_ms")
        )
        print(f"{name} against {other}: {growths}")
    show_backlog([found["audited"] for found in rounds])


def growth(rounds: Sequence[Mapping[str, Phase]], name: str, other: str, what: str) -> str:
    """Median, and from where to where."""
    found = sorted(
        getattr(each[name].load, what) / getattr(each[other].load, what) * 100 - 100
        for each in rounds
    )
    return f"{median(found):+.1f} % ({found[0]:+.1f} to {found[-1]:+.1f})"


def as_many_as_it_takes(bench: Bench, options: argparse.Namespace) -> None:
    print(f"\nas many as are answered, {options.connections} connections")
    found: dict[str, list[Phase]] = {"alone": [], "audited": []}
    for number in range(options.rounds):
        for name, phases in found.items():
            phases.append(bench.run(name, 0, options.connections, options.seconds))
            show(number + 1, phases[-1])
    for name, phases in found.items():
        rate = median(phase.load.per_s for phase in phases)
        events = median(phase.logged_per_s for phase in phases)
        print(f"{name}: {rate:.0f} uploads/s, {events:.0f} events/s logged beside them")
    show_backlog(found["audited"])


def show(number: int, phase: Phase) -> None:
    load = phase.load
    print(
        f"{number} {phase.name:9} {load.per_s:6.0f} uploads/s  p50 {load.p50_ms:6.2f} ms"
        f"  p99 {load.p99_ms:7.2f} ms  {phase.logged_per_s:6.0f} events/s logged beside them\n"
        f"            CPU us an upload: {phase.cost}",
        flush=True,
    )


def show_backlog(phases: Sequence[Phase]) -> None:
    behind_s = median(phase.backlog / phase.load.per_s for phase in phases)
    verdict = "sustained" if behind_s <= SUSTAINED_BACKLOG_S else "NOT sustained"
    print(f"events: {verdict}; at the end {behind_s:.2f} s of uploads were not in the log yet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--only", default="rate,most")
    parser.add_argument("--edge", action="store_true", help="as an ordinary user, through the edge")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    wanted = options.only.split(",")
    with running_stack(options.folder) as stack:
        postgres, superuser = stack.stack.layout.postgres, stack.stack.layout.superuser
        with psycopg.connect(postgres.url(superuser), autocommit=True) as connection:
            bench = Bench(stack, connection, through_edge=options.edge)
            # What is done once, at the first request, is none of the phases'.
            bench.run("audited", 0, options.connections, 1)
            if "rate" in wanted:
                at_one_rate(bench, options)
            if "most" in wanted:
                as_many_as_it_takes(bench, options)


if __name__ == "__main__":
    main()
