"""Real servers for the length of a test session."""

import asyncio
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
ROUND_MAX_S = 5.0


@contextmanager
def short_folder() -> Iterator[Path]:
    """A private folder whose path leaves room for a UNIX socket's name."""
    with tempfile.TemporaryDirectory(prefix="as-") as folder:
        yield Path(folder)


class Limit:
    """A shared machine may stand still for minutes, and those whom we wait for with it. So one
    round counts for `ROUND_MAX_S` at most: what is waited for is looked at often in any case."""

    def __init__(self, what: str, limit_s: float) -> None:
        self._what = what
        self._limit_s = self._left_s = limit_s
        self._before_s = time.monotonic()

    def check(self) -> None:
        """Call once a round. Raises `AssertionError` when it is used up."""
        now_s = time.monotonic()
        self._left_s -= min(now_s - self._before_s, ROUND_MAX_S)
        self._before_s = now_s
        if self._left_s < 0:
            raise AssertionError(f"{self._what} did not happen within {self._limit_s:.0f} s")


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = START_LIMIT_S) -> None:
    limit = Limit(what, limit_s)
    while not condition():
        limit.check()
        time.sleep(0.02)


async def eventually(
    condition: Callable[[], bool], limit_s: float = 20.0, what: str = "it"
) -> None:
    """`wait_until` for tests that share their event loop with those whom they wait for."""
    limit = Limit(what, limit_s)
    while not condition():
        limit.check()
        await asyncio.sleep(0.01)


@contextmanager
def running(
    command: Sequence[str],
    is_ready: Callable[[int], bool],
    log: Path,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, ready; stopped at the end of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        wait_until(lambda: _is_up(process, is_ready, log), f"{command[-1]} becoming ready")
        yield process
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(process: subprocess.Popen[bytes], is_ready: Callable[[int], bool], log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"it ended with {process.returncode}: {log.read_text()[-2000:]}")
    return is_ready(process.pid)
