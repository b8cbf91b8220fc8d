"""What catalogue and audit cost uploads: latency, CPU of a file, and events a second, in one run.

    python -m benchmarks.audit_load [--rate 0] [--rounds 8] [--seconds 5] [--edge]

Starts two ArtStores of its own, one of them without an audit of files (`_unaudited`), and uploads
files of 4 KiB, straight to the ingester over mutual TLS or as an ordinary user through the edge, in
three ways by turns:

    alone      nobody follows the elements: neither catalogue nor audit
    catalogue  rows of the catalogue; no events
    audited    rows of the catalogue, events, and the signed log

What audited uploads take longer than catalogued ones is what the audit costs. First as many uploads
as are answered: how many events a second are logged beside them. Then half of those that were taken
with everything on (or `--rate`): a load that a machine can carry all day, where an answer waits for
work and not for its turn in a queue that grows. There latencies are compared, on a timetable that
does not wait for answers: what waits counts from when it was due.

Latencies of one round are neighbours, each round begins with another one, and the median of the
rounds counts, shown with the lowest and the highest. A round in which other work took more than a
tenth of the machine is shown and does not count.

Whoever follows is left out by holding the advisory locks, as another instance would. What piled up
is written down before the next phase begins. CPU of a file is that of the whole phase until its
last event is in the log, so what is put off counts as well.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
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
from benchmarks._unaudited import UnauditedStack
from benchmarks.ingest import ArtStore

Connection = psycopg.Connection[tuple[object, ...]]

FILE_BYTES = 4096
FOLLOWERS = [lock_key(name) for name in ELEMENTS]
LOGGED = "SELECT size FROM audit.log"
CATALOGUED = "SELECT count(*) FROM catalogue.files"
PHASES = ("alone", "catalogue", "audited")
HELD = {"alone": [*FOLLOWERS, LOCK_KEY]}
"""Locks, by phase."""
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
    written_per_s: float
    """Uploads of which events, or rows where there are no events, were written meanwhile."""
    backlog: int
    """Uploads of which they were not when the last one was answered."""
    cost_us: Mapping[str, float]
    """CPU of one file by process."""
    others: float
    """Share of the machine that was neither the stack nor the load."""


class Bench:
    """One of the two, and how far it is.

    Args:
        done: Statement for the number of uploads that are written down.
    """

    def __init__(
        self, stack: RunningStack, connection: Connection, done: str, *, through_edge: bool
    ) -> None:
        self._stack = stack
        self._connection = connection
        self._done_statement = done
        self._target = ArtStore(stack, through_edge=through_edge, unknown=False)

    def run(self, name: str, rate: float, connections: int, seconds: float) -> Phase:
        load = replace(self._target.load(FILE_BYTES, connections, seconds), rate=rate)
        with held(self._connection, HELD.get(name, ())):
            done, before, busy = self._done(), self._stack.cpu_s(), Busy.now(self._stack)
            measured = run_load(self._target.port, load)
            written = self._done() - done
            others = busy.others(Busy.now(self._stack))
            if name not in HELD:
                self._wait_until_done(done + measured.requests)
            after = self._stack.cpu_s()
        # Of "alone" what follows is not its own.
        self._wait_until_done(done + measured.requests)
        time.sleep(SETTLING_S)
        return Phase(
            name,
            measured,
            written / measured.seconds,
            measured.requests - written,
            costs_us(before, after, measured.requests),
            others,
        )

    def _done(self) -> int:
        row = self._connection.execute(self._done_statement).fetchone()
        return int(str(row[0])) if row else 0

    def _wait_until_done(self, number: int) -> None:
        deadline_s = time.monotonic() + DRAINED_LIMIT_S
        while self._done() < number:
            if time.monotonic() > deadline_s:
                raise SystemExit("the uploads are not written down")
            time.sleep(0.2)


Benches = Mapping[str, Bench]
"""By phase."""


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


def as_many_as_it_takes(benches: Benches, options: argparse.Namespace) -> float:
    """How many a second, with everything on."""
    print(f"\nas many as are answered, {options.connections} connections")
    rounds = all_rounds(benches, options, 0, max(2, options.rounds // 2))
    for name in PHASES:
        rate = median(each[name].load.per_s for each in rounds)
        written = median(each[name].written_per_s for each in rounds)
        print(f"{name}: {rate:.0f} uploads/s, {written:.0f}/s written beside them")
    audited = [each["audited"] for each in rounds]
    show_backlog(audited)
    events = median(each.written_per_s for each in audited)
    verdict = "reached" if events >= EVENTS_MIN_PER_S else "NOT reached"
    print(f"target: {EVENTS_MIN_PER_S} events/s beside as many uploads: {verdict}")
    return median(each.load.per_s for each in audited)


def at_one_rate(benches: Benches, options: argparse.Namespace, rate: float) -> None:
    print(f"\n{rate:.0f} uploads/s on a timetable, {options.connections} connections")
    rounds = all_rounds(benches, options, rate, options.rounds)
    quiet = [each for each in rounds if max(phase.others for phase in each.values()) <= OTHERS_MAX]
    print(f"{len(quiet)} of {len(rounds)} rounds were quiet enough to count")
    if not quiet:
        return
    for less, more in pairwise(PHASES):
        half, most = (growth(quiet, less, more, what) for what in ("p50_ms", "p99_ms"))
        print(f"{more}, beside {less}: p50 {spread(half)}, p99 {spread(most)}")
    verdict = "reached" if half[1] < GROWTH_MAX_PERCENT else "NOT reached"
    print(f"target: p50 less than {GROWTH_MAX_PERCENT} % longer for the audit: {verdict}")
    for process in ("admin-1", "postgres"):
        costs = [median(each[name].cost_us[process] for each in quiet) for name in PHASES]
        shown = ", ".join(f"{name} {us:.0f}" for name, us in zip(PHASES, costs, strict=True))
        print(f"{process}, CPU us a file: {shown}")
    show_backlog([each["audited"] for each in quiet])


def all_rounds(
    benches: Benches, options: argparse.Namespace, rate: float, rounds: int
) -> list[Mapping[str, Phase]]:
    done: list[Mapping[str, Phase]] = []
    for number in range(rounds):
        found = {}
        first = number % len(PHASES)
        for name in PHASES[first:] + PHASES[:first]:
            found[name] = benches[name].run(name, rate, options.connections, options.seconds)
            show(number + 1, found[name])
        done.append(found)
    return done


def growth(
    rounds: Sequence[Mapping[str, Phase]], less: str, more: str, what: str
) -> tuple[float, float, float]:
    """Per cent: the lowest, the median and the highest of all rounds."""
    found = sorted(
        getattr(each[more].load, what) / getattr(each[less].load, what) * 100 - 100
        for each in rounds
    )
    return found[0], median(found), found[-1]


def spread(growth: tuple[float, float, float]) -> str:
    return f"{growth[1]:+.1f} % ({growth[0]:+.1f} to {growth[2]:+.1f})"


def show(number: int, phase: Phase) -> None:
    load = phase.load
    cost = sorted(phase.cost_us.items(), key=lambda item: -item[1])
    print(
        f"{number} {phase.name:9} {load.per_s:6.0f} uploads/s  p50 {load.p50_ms:6.2f} ms"
        f"  p99 {load.p99_ms:7.2f} ms  {phase.written_per_s:6.0f}/s written beside them"
        f"  others {phase.others:.0%}\n"
        f"            CPU us a file: {', '.join(f'{n} {us:.0f}' for n, us in cost if us >= 1)}",
        flush=True,
    )


def show_backlog(phases: Sequence[Phase]) -> None:
    behind_s = median(phase.backlog / phase.load.per_s for phase in phases)
    verdict = "sustained" if behind_s <= SUSTAINED_BACKLOG_S else "NOT sustained"
    print(f"events: {verdict}; {behind_s:.2f} s of uploads were not in the log at the end")


@contextlib.contextmanager
def superuser_connection(stack: RunningStack) -> Iterator[Connection]:
    layout = stack.stack.layout
    with psycopg.connect(layout.postgres.url(layout.superuser), autocommit=True) as connection:
        yield connection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0, help="0: half of what is taken")
    parser.add_argument("--edge", action="store_true", help="as an ordinary user, through the edge")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    with (
        running_stack(options.folder) as whole,
        superuser_connection(whole) as of_whole,
        running_stack(options.folder, UnauditedStack) as unaudited,
        superuser_connection(unaudited) as of_unaudited,
    ):
        audited = Bench(whole, of_whole, LOGGED, through_edge=options.edge)
        catalogued = Bench(unaudited, of_unaudited, CATALOGUED, through_edge=options.edge)
        benches = {"alone": audited, "catalogue": catalogued, "audited": audited}
        for name in ("catalogue", "audited"):
            # What is done once, at the first request, is none of the phases'.
            benches[name].run(name, 0, options.connections, 1)
        rate = options.rate or as_many_as_it_takes(benches, options) / 2
        at_one_rate(benches, options, rate)


if __name__ == "__main__":
    main()
