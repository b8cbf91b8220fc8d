"""Which process a number means. Numbers are given out again; these facts are not."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_START_FIELD: Final = 19
"""`starttime` among the fields of /proc/<pid>/stat behind the name; see proc_pid_stat(5)."""
_STATE_FIELD: Final = 0
_POLL_S: Final = 0.02


@dataclass(frozen=True)
class ProcessIdentity:
    pid: int
    started_ticks: int
    """When it began, in clock ticks since the machine did."""
    boot_id: str
    """Which run of the machine that was."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """`None` for a process that is gone, or ended and only waits to be collected."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name stands in brackets and may hold anything, brackets included.
        fields = text.rpartition(")")[2].split()
        if fields[_STATE_FIELD] in ("Z", "X"):
            return None
        return cls(pid, int(fields[_START_FIELD]), _boot_id())

    def is_alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self

    def works_in(self, folder: Path) -> bool:
        """Whether its working directory is `folder` or lies below."""
        try:
            return Path(f"/proc/{self.pid}/cwd").readlink().is_relative_to(folder.resolve())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False

    def ask(self, signal_number: signal.Signals) -> None:
        """Send a signal, if it is still there."""
        try:
            # The handle stays with this process, so the number cannot change hands
            # between the look and the signal.
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_alive():
                signal.pidfd_send_signal(handle, signal_number)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    def wait_gone(self, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
