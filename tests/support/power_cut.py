"""Looks at the disks that a power cut may leave, at every step of a workload."""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator

from tests.support.simulated_fs import CrashPlan, Image, SimulatedFs
from tests.support.stepped_element import (
    ELEMENT_ROOT,
    Element,
    FixedClock,
    Ids,
    Oracle,
    State,
    SteppedEngine,
    check_element,
    options,
    read_state,
)

from artstore.core.model.ids import FileId
from artstore.storage.engine.refusals import ElementRefused

RANDOM_PER_STEP = 6
RECOVERY_SHARE = 0.02
"""One start in 50 is itself cut at every step,"""

RECOVERY_STEPS_SHARE = 0.3
"""or rather at about a third of them, with one of the states that may leave."""


class PromiseBroken(BaseException):
    """A state that must not be. Not an `Exception`: it is found in the middle of the
    engine's work, and the engine must not take it for a fault of its own."""


class Killed(BaseException):
    """The process ends here; no handler of its own may notice."""


class Workload:
    """What a workload needs: an element on a simulated disk, ids, time, chance."""

    def __init__(self, fs: SimulatedFs, oracle: Oracle, chance: random.Random) -> None:
        self.fs = fs
        self.oracle = oracle
        self.chance = chance
        self.clock = FixedClock()
        self.ids = Ids(self.clock)
        self.element = Element(fs, oracle, self.clock)

    def restart(self) -> None:
        """After a clean stop."""
        self.element.engine.close()
        self.element = Element(self.fs, self.oracle, self.clock)

    @contextlib.contextmanager
    def killed_after(self, steps: int) -> Iterator[None]:
        """The block ends with a kill at that step, if it gets there."""
        look, done = self.fs.before_step, itertools.count()

        def before_step(step: str) -> None:
            if next(done) >= steps:
                raise Killed
            look(step)

        self.fs.before_step = before_step
        with contextlib.suppress(Killed):
            yield
        self.fs.before_step = look
        self.kill_and_restart()

    def kill_and_restart(self) -> None:
        """kill -9: what the process wrote is in memory, and nothing of it need be on disk."""
        self.fs.kill()
        self.element = Element(self.fs, self.oracle, self.clock)
        # What nobody had an answer for has been decided now.
        for file_id in list(self.oracle.open):
            del self.oracle.open[file_id]
            state = read_state(self.element.engine, file_id)
            if state is not None:
                self.oracle.settled[file_id] = state


class Explorer:
    """Args: `states_max`: how many to look at, spread evenly over the workload's steps."""

    def __init__(self, seed: int, states_max: int) -> None:
        self._chance = random.Random(seed)
        self._states_max = states_max
        self._seen: set[int] = set()
        self._share = 0.0
        self._offered = 0
        self.states = 0

    def run(self, workload: Callable[[Workload], None]) -> None:
        """Run the workload again, with other random states, until enough were seen.

        Raises:
            AssertionError: The first state in which a promise is broken.
        """
        try:
            self._search(workload)
        except PromiseBroken as broken:
            raise AssertionError(str(broken)) from broken

    def _search(self, workload: Callable[[Workload], None]) -> None:
        self._run_once(workload)
        while self.states < self._states_max:
            self._share = min(1.0, (self._states_max - self.states) / self._offered)
            before = self.states
            self._run_once(workload)
            if self.states == before:
                return

    def _run_once(self, workload: Callable[[Workload], None]) -> None:
        self._offered = 0
        fs, oracle = SimulatedFs(), Oracle()
        fs.make_directory("/srv")
        fs.flush_volume(0)
        fs.before_step = lambda step: self._cut(fs, oracle, step)
        workload(Workload(fs, oracle, self._chance))
        self._cut(fs, oracle, "the end")

    def _cut(self, fs: SimulatedFs, oracle: Oracle, step: str) -> None:
        plans = fs.crash_plans(self._chance, RANDOM_PER_STEP)
        self._offered += len(plans)
        for plan in plans:
            if self._chance.random() >= self._share:
                continue
            image = fs.image(plan)
            key = hash((tuple(sorted(image.items())), tuple(oracle.ids), len(oracle.open)))
            if key in self._seen:
                continue
            self._seen.add(key)
            self._check(image, oracle, f"power cut before '{step}'")

    def _check(self, image: Image, oracle: Oracle, when: str) -> None:
        self.states += 1
        fs = SimulatedFs(image)
        deep = self._chance.random() < RECOVERY_SHARE
        if deep:
            fs.before_step = lambda step: self._cut_recovery(fs, oracle, f"{when}, {step}")
        found = start_and_check(fs, oracle, when)
        # What this start settled, the next one must find again.
        settled = Oracle(settled=dict(found), damaged=oracle.damaged)
        again = SimulatedFs(fs.image(CrashPlan(set(), {})))
        start_and_check(again, settled, f"{when}, again after recovery")

    def _cut_recovery(self, fs: SimulatedFs, oracle: Oracle, step: str) -> None:
        if self._chance.random() >= RECOVERY_STEPS_SHARE:
            return
        plan = self._chance.choice(fs.crash_plans(self._chance, RANDOM_PER_STEP))
        self.states += 1
        start_and_check(SimulatedFs(fs.image(plan)), oracle, f"recovery cut after {step}")


def start_and_check(fs: SimulatedFs, oracle: Oracle, when: str) -> dict[FileId, State]:
    """Raises `PromiseBroken`."""
    try:
        engine = SteppedEngine.open(options(), fs, FixedClock())
        found = check_element(engine, oracle)
    except (AssertionError, ElementRefused, OSError) as error:
        raise PromiseBroken(f"{when}: {error}") from error
    left = [name for name in fs.names(f"{ELEMENT_ROOT}/tmp") if name != "spare"]
    if left:
        raise PromiseBroken(f"{when}: left behind: {left}")
    return found
