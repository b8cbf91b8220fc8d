"""One program, kept running until told to stop."""

import asyncio
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from artstore.core.clock import Clock
from artstore.local.failures import StackFailure
from artstore.local.logs import RotatingLog
from artstore.local.process_identity import ProcessIdentity
from artstore.local.program import Program, Run

POLL_S: Final = 0.1
RESTART_DELAY_FIRST_S: Final = 0.1
RESTART_DELAY_MAX_S: Final = 10.0
STEADY_S: Final = 30.0
"""A program that ran this long has recovered: the next restart is quick again."""
FIRST_STARTS_MAX: Final = 3
_TAIL_LINES: Final = 8


class StartFailed(StackFailure):
    """The message says which program and shows the end of its log."""


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ProgramStatus:
    """What the status file says of a program; enough to find it again."""

    name: str
    state: State
    port: int | None
    socket: str | None
    pid: int | None
    started_ticks: int | None
    boot_id: str | None
    stop_signal: int

    @property
    def identity(self) -> ProcessIdentity | None:
        """Of the run that was going on; it may have ended since."""
        if self.pid is None or self.started_ticks is None or self.boot_id is None:
            return None
        return ProcessIdentity(self.pid, self.started_ticks, self.boot_id)


class Supervised:
    """`changed` is told of every change of state, with what else is known about it."""

    def __init__(
        self,
        program: Program,
        folder: Path,
        log: RotatingLog,
        clock: Clock,
        changed: Callable[["Supervised", dict[str, object]], None],
    ) -> None:
        self.program = program
        self.state = State.WAITING
        self.ready = asyncio.Event()
        """Set while it is ready."""
        self._folder = folder
        self._log = log
        self._clock = clock
        self._changed = changed
        self._run: Run | None = None
        self._stopping = asyncio.Event()
        self._was_ready = False
        self._failures = 0
        self._delay_s = RESTART_DELAY_FIRST_S

    async def keep(self, others: Mapping[str, "Supervised"]) -> None:
        """Run it, again and again, once those of the others that it needs are ready.

        Raises:
            StartFailed: It ended `FIRST_STARTS_MAX` times before it was ready once.
        """
        await _all_ready(others, self.program.after)
        while not self._stopping.is_set():
            started_s = self._clock.monotonic_s()
            code = await self._run_once(others)
            if not self._stopping.is_set():
                await self._recover(code, self._clock.monotonic_s() - started_s)
        self._become(State.STOPPED)

    async def stop(self) -> None:
        self._stopping.set()
        if self._run is not None:
            await self._run.stop()

    def kill(self) -> None:
        self._stopping.set()
        if self._run is not None:
            self._run.kill()

    def signal(self, signal_number: signal.Signals) -> None:
        if self._run is not None and not self._run.is_over:
            self._run.signal(signal_number)

    def close(self) -> None:
        """After the end of its last run."""
        self._log.close()

    def status(self) -> ProgramStatus:
        identity = self._run.identity if self._run and not self._run.is_over else None
        return ProgramStatus(
            name=self.program.name,
            state=self.state,
            port=self.program.port,
            socket=str(self.program.socket) if self.program.socket else None,
            pid=identity.pid if identity else None,
            started_ticks=identity.started_ticks if identity else None,
            boot_id=identity.boot_id if identity else None,
            stop_signal=int(self.program.stop_signal),
        )

    async def _run_once(self, others: Mapping[str, "Supervised"]) -> int:
        if self.program.before is not None:
            await self.program.before()
        if self._stopping.is_set():
            return 0
        self._run = Run(self.program, self._folder, self._log)
        self._become(State.STARTING)
        watch = asyncio.create_task(self._watch(self._run, others))
        end = asyncio.create_task(self._run.wait())
        await asyncio.wait({watch, end}, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()  # a hook that failed comes out here
        code = await end
        watch.cancel()
        self.ready.clear()
        return code

    async def _watch(self, run: Run, others: Mapping[str, "Supervised"]) -> None:
        await _all_ready(others, self.program.relies_on)
        # Another process becomes ready: nothing here could set an event for it.
        while not await self.program.is_ready(run.pid):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        if not self._was_ready and self.program.when_ready is not None:
            await self.program.when_ready()
        self._was_ready = True
        if not run.is_over:
            self._become(State.READY)

    async def _recover(self, code: int, lived_s: float) -> None:
        self._failures += 1
        if not self._was_ready and self._failures >= FIRST_STARTS_MAX:
            raise StartFailed(self._last_words(code))
        if lived_s > STEADY_S:
            self._delay_s = RESTART_DELAY_FIRST_S
        self._become(State.DIED, exit_code=code, restart_in_s=self._delay_s)
        try:
            await asyncio.wait_for(self._stopping.wait(), self._delay_s)
        except TimeoutError:
            self._delay_s = min(self._delay_s * 2, RESTART_DELAY_MAX_S)

    def _become(self, state: State, **facts: object) -> None:
        self.state = state
        if state is State.READY:
            self.ready.set()
        self._changed(self, facts)

    def _last_words(self, code: int) -> str:
        lines = "\n  ".join(self._log.tail(_TAIL_LINES))
        return f"{self.program.name} ended with code {code}. {self._log.path} says:\n  {lines}"


async def _all_ready(others: Mapping[str, Supervised], names: Iterable[str]) -> None:
    for name in names:
        await others[name].ready.wait()
