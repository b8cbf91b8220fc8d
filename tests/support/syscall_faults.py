"""System calls of a running process that fail when told, by `strace --inject`."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.processes import wait_until


def needs_strace() -> pytest.MarkDecorator:
    """Skips where `strace` is missing or may not trace."""
    reason = "needs strace (Debian: strace)"
    usable = shutil.which("strace") is not None
    if usable:
        trial = subprocess.run(["strace", "-o", "/dev/null", "true"], check=False)
        usable, reason = trial.returncode == 0, "may not trace processes here (ptrace)"
    return pytest.mark.skipif(not usable, reason=reason)


class Tracer:
    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def has_injected(self) -> bool:
        output = self._output.read_bytes()
        return b"INJECTED" in output or b"killed by" in output

    def stop(self) -> None:
        """The process goes on without faults."""
        self._process.terminate()
        self._process.wait()


@contextmanager
def failing(pid: int, calls: str, fault: str, folder: Path) -> Iterator[Tracer]:
    """Args:
    calls: Names, with commas.
    fault: As `strace` wants it: `error=EIO:when=2`, counted in each thread.
    """
    output = folder / "strace.txt"
    command = ["strace", "-f", "-qq", "-o", str(output), "-e", f"trace={calls}",
               "-e", f"inject={calls}:{fault}", "-p", str(pid)]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    tracer = Tracer(process, output)
    try:
        wait_until(lambda: output.exists() and _is_traced(pid), "strace attaching")
        yield tracer
    finally:
        tracer.stop()


def _is_traced(pid: int) -> bool:
    process = Path(f"/proc/{pid}/task")
    if not process.exists():
        return True  # the fault came at once, and was its end
    threads = list(process.iterdir())
    return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in threads)
