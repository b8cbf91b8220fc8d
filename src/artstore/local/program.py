"""What the supervisor is told about a program, and one run of it."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from artstore.local.logs import RotatingLog
from artstore.local.process_identity import ProcessIdentity

_READ_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Program:
    """One program of the stack.

    `command` ties the child's life to ours (`account.launched`). `is_ready` is asked with
    its pid until it says yes. `before` runs ahead of each start, `when_ready` after the first
    time it is ready and before anyone that waits for it goes on.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[int], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: frozenset[str] = frozenset()
    """Programs that have to be ready before this one is started."""
    relies_on: frozenset[str] = frozenset()
    """Programs without which it cannot become ready: it starts beside them, but is not asked
    before they are. Each question costs a handshake, just when everybody is busy."""
    stage: int = 0
    """Stopped from the highest to the lowest, those of one stage together."""
    port: int | None = None
    socket: Path | None = None
    """Where it listens when that is no port."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 30.0
    before: Callable[[], Awaitable[None]] | None = None
    when_ready: Callable[[], Awaitable[None]] | None = None


class Run:
    """One run of a program, from its start to its end. Needs a running event loop."""

    def __init__(self, program: Program, folder: Path, log: RotatingLog) -> None:
        self._program = program
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        # In the loop's own thread: the kernel ties the child's life to the thread it came from.
        self._process = subprocess.Popen(  # noqa: S603
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(program.environment),
            cwd=folder,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.identity = ProcessIdentity.of(self.pid)
        self._handle = os.pidfd_open(self.pid)
        self._loop.add_reader(self._handle, self._on_end)
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._loop.add_reader(self._output, self._on_output)

    @property
    def is_over(self) -> bool:
        return self._ended.is_set()

    async def wait(self) -> int:
        """The exit code; negative is the signal that ended it."""
        await self._ended.wait()
        return self._process.returncode

    async def stop(self) -> None:
        """Ask it to stop; after its grace, make it."""
        if self.is_over:
            return
        self._process.send_signal(self._program.stop_signal)
        try:
            await asyncio.wait_for(self._ended.wait(), self._program.stop_grace_s)
        except TimeoutError:
            self.kill()
            await self._ended.wait()

    def signal(self, signal_number: signal.Signals) -> None:
        self._process.send_signal(signal_number)

    def kill(self) -> None:
        """At once, with all it started."""
        if not self.is_over:
            os.killpg(self.pid, signal.SIGKILL)

    def _on_end(self) -> None:
        self._process.wait()
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        # What it said last is still in the pipe. Its own children may hold the other end
        # open, so nobody waits for the end of the stream.
        while self._on_output():
            pass
        self._loop.remove_reader(self._output)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._ended.set()

    def _on_output(self) -> bool:
        """Whether there may be more."""
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._output)
            return False
        self._log.write(data)
        return True
