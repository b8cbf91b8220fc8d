"""What catalogue and audit cost uploads: latency, CPU of a file, and events a second, in one run.

    python -m benchmarks.audit_load [--rate 0] [--rounds 8] [--seconds 5] [--edge]

Starts an ArtStore of its own and uploads files of 4 KiB, straight to the ingester over mutual TLS
or as an ordinary user through the edge, in two ways by turns:

    alone      nobody follows the elements: neither catalogue nor audit
    audited    catalogue rows, events, and the signed log

First as many uploads as are answered: how many events a second are logged beside them. Then half
of those that were taken with everything on (or `--rate`): a load that a machine can carry all day,
where an answer waits for work and not for its turn in a queue that grows. There latencies are
compared, on a timetable that does not wait for answers: what waits counts from when it was due.

Latencies of one round are a pair of neighbours, each round begins with the other one, and the
median of the pairs counts, shown with the lowest and the highest. A round in which other work took
more than a tenth of the machine is shown and does not count.

What is left out is left out by holding the advisory locks of those who do it, as another instance
would. What piled up is written down before the next phase begins. CPU of a file is that of the
whole phase until its last event is in the log, so what is put off counts as well.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Self

import psutil
import psycopg

from artstore.admin.repository.audit_log import LOCK_KEY
from artstore.admin.repository.positions import lock_key
from artstore.local.modules import ELEMENTS
from benchmarks._load import Measured, run_load
from benchmarks._stack import RunningStack, costs_us, running_stack
from benchmarks.ingest import ArtStore

Connection = psycopg.Connection[tuple[object, ...]]

FILE_BYTES = 4096
FOLLOWERS = [lock_key(name) for name in ELEMENTS]
PHASES = {"alone": [*FOLLOWERS, LOCK_KEY], "audited": []}
# One argument or two: pg_locks shows a 64-bit key in halves.
_HOLDERS = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()
  AND ((classid::bigint << 32) | objid::bigint) = %s
"""
DRAINED_LIMIT_S = 600
SETTLING_S = 1.0
SUSTAINED_BACKLOG_S = 3.0
"""An event is in the log within 0.5 s (followers) and 1 s (writer), each with its own work."""
OTHERS_MAX = 0.1
"""Share of the machine that other work may take in a round that counts."""
GROWTH_MAX_PERCENT = 5
EVENTS_MIN_PER_S = 3000


@dataclass(frozen=True)
class Phase:
    name: str
    load: Measured
    logged_per_s: float
    backlog: int
    """Uploads without an entry in the log at the moment when the last one was answered."""
    cost_us: Mapping[str, float]
    """CPU of one file by process."""
    others: float
    """Share of the machine that was neither the stack nor the load."""

    @property
    def bookkeepers_us(self) -> float:
        return self.cost_us["admin-1"] + self.cost_us["postgres"]


class Bench:
    def __init__(self, stack: RunningStack, connection: Connection, *, through_edge: bool) -> None:
        self._stack = stack
        self._connection = connection
        self._target = ArtStore(stack, through_edge=through_edge, unknown=False)

    def run(self, name: str, rate: float, connections: int, seconds: float) -> Phase:
        load = replace(self._target.load(FILE_BYTES, connections, seconds), rate=rate)
        with held(self._connection, PHASES[name]):
            size, before, busy = self._logged(), self._stack.cpu_s(), Busy.now(self._stack)
            measured = run_load(self._target.port, load)
            logged = self._logged() - size
            others = busy.others(Busy.now(self._stack))
            if name == "audited":
                self._wait_for_log(size + measured.requests)
            after = self._stack.cpu_s()
        # Of "alone" what follows is not its own.
        self._wait_for_log(size + measured.requests)
        time.sleep(SETTLING_S)
        return Phase(
            name,
            measured,
            logged / measured.seconds,
            measured.requests - logged,
            costs_us(before, after, measured.requests),
            others,
        )

    def _logged(self) -> int:
        row = self._connection.execute("SELECT size FROM audit.log").fetchone()
        return int(str(row[0])) if row else 0

    def _wait_for_log(self, size: int) -> None:
        deadline_s = time.monotonic() + DRAINED_LIMIT_S
        while self._logged() < size:
            if time.monotonic() > deadline_s:
                raise SystemExit("the log does not catch up")
            time.sleep(0.1)


@dataclass(frozen=True)
class Busy:
    """CPU seconds up to now: of the machine, and of what is measured with its load."""

    at_s: float
    machine_s: float
    ours_s: float

    @classmethod
    def now(cls, stack: RunningStack) -> Self:
        times = psutil.cpu_times()
        own = os.times()
        return cls(
            time.monotonic(),
            sum(times) - times.idle - times.iowait - times.guest - times.guest_nice,
            sum(stack.cpu_s().values()) + sum(own[:4]),
        )

    def others(self, later: Self) -> float:
        """Share of the machine's time since then."""
        others_s = (later.machine_s - self.machine_s) - (later.ours_s - self.ours_s)
        return max(0.0, others_s) / (later.at_s - self.at_s) / (psutil.cpu_count() or 1)


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


def as_many_as_it_takes(bench: Bench, options: argparse.Namespace) -> float:
    """How many a second, with everything on."""
    print(f"\nas many as are answered, {options.connections} connections")
    rounds = all_rounds(bench, options, 0, max(2, options.rounds // 2))
    for name in PHASES:
        rate = median(each[name].load.per_s for each in rounds)
        events = median(each[name].logged_per_s for each in rounds)
        print(f"{name}: {rate:.0f} uploads/s, {events:.0f} events/s logged beside them")
    audited = [each["audited"] for each in rounds]
    show_backlog(audited)
    events = median(each.logged_per_s for each in audited)
    verdict = "reached" if events >= EVENTS_MIN_PER_S else "NOT reached"
    print(f"target: {EVENTS_MIN_PER_S} events/s beside as many uploads: {verdict}")
    print(f"admin and PostgreSQL: {median(each.bookkeepers_us for each in audited):.0f} us a file")
    return median(each.load.per_s for each in audited)


def at_one_rate(bench: Bench, options: argparse.Namespace, rate: float) -> None:
    print(f"\n{rate:.0f} uploads/s on a timetable, {options.connections} connections")
    rounds = all_rounds(bench, options, rate, options.rounds)
    quiet = [each for each in rounds if max(phase.others for phase in each.values()) <= OTHERS_MAX]
    print(f"{len(quiet)} of {len(rounds)} rounds were quiet enough to count")
    if not quiet:
        return
    half, most = growth(quiet, "p50_ms"), growth(quiet, "p99_ms")
    verdict = "reached" if half[1] < GROWTH_MAX_PERCENT else "NOT reached"
    print(f"uploads take longer by: p50 {spread(half)}, p99 {spread(most)}")
    print(f"target: p50 less than {GROWTH_MAX_PERCENT} % longer: {verdict}")
    for name in ("admin-1", "postgres"):
        audited, alone = (
            median(each[phase].cost_us[name] for each in quiet) for phase in ("audited", "alone")
        )
        print(f"{name}: {audited:.0f} us a file, of which at rest or for other work {alone:.0f}")
    show_backlog([each["audited"] for each in quiet])


def all_rounds(
    bench: Bench, options: argparse.Namespace, rate: float, rounds: int
) -> list[Mapping[str, Phase]]:
    done: list[Mapping[str, Phase]] = []
    for number in range(rounds):
        found = {}
        for name in sorted(PHASES, reverse=number % 2 == 1):
            found[name] = bench.run(name, rate, options.connections, options.seconds)
            show(number + 1, found[name])
        done.append(found)
    return done


def growth(rounds: Sequence[Mapping[str, Phase]], what: str) -> tuple[float, float, float]:
    """Per cent: the lowest, the median and the highest of all pairs."""
    found = sorted(
        getattr(each["audited"].load, what) / getattr(each["alone"].load, what) * 100 - 100
        for each in rounds
    )
    return found[0], median(found), found[-1]


def spread(growth: tuple[float, float, float]) -> str:
    return f"{growth[1]:+.1f} % ({growth[0]:+.1f} to {growth[2]:+.1f})"


def show(number: int, phase: Phase) -> None:
    load = phase.load
    cost = sorted(phase.cost_us.items(), key=lambda item: -item[1])
    print(
        f"{number} {phase.name:8} {load.per_s:6.0f} uploads/s  p50 {load.p50_ms:6.2f} ms"
        f"  p99 {load.p99_ms:7.2f} ms  {phase.logged_per_s:6.0f} events/s logged beside them"
        f"  others {phase.others:.0%}\n"
        f"           CPU us a file: {', '.join(f'{n} {us:.0f}' for n, us in cost if us >= 1)}",
        flush=True,
    )


def show_backlog(phases: Sequence[Phase]) -> None:
    behind_s = median(phase.backlog / phase.load.per_s for phase in phases)
    verdict = "sustained" if behind_s <= SUSTAINED_BACKLOG_S else "NOT sustained"
    print(f"events: {verdict}; {behind_s:.2f} s of uploads were not in the log at the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0, help="0: half of what is taken")
    parser.add_argument("--edge", action="store_true", help="as an ordinary user, through the edge")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    with running_stack(options.folder) as stack:
        postgres, superuser = stack.stack.layout.postgres, stack.stack.layout.superuser
        with psycopg.connect(postgres.url(superuser), autocommit=True) as connection:
            bench = Bench(stack, connection, through_edge=options.edge)
            # What is done once, at the first request, is none of the phases'.
            bench.run("audited", 0, options.connections, 1)
            rate = options.rate or as_many_as_it_takes(bench, options) / 2
            at_one_rate(bench, options, rate)


if __name__ == "__main__":
    main()
