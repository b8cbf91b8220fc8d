"""A server that a test may kill or let hang, and bring back."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
from tests.support.processes import wait_until


class BreakableServer:
    def __init__(self, command: Sequence[str], is_ready: Callable[[int], bool], log: Path) -> None:
        self._command = command
        self._is_ready = is_ready
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[psutil.Process] = []

    def start(self) -> None:
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        self._process = process
        wait_until(lambda: self._is_ready(process.pid), "the server becoming ready")

    def kill(self) -> None:
        """The whole family, as a power cut would."""
        self.thaw()
        for member in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        if self._process is not None:
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        self._frozen = self._family()
        for member in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.suspend()

    def thaw(self) -> None:
        for member in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.resume()
        self._frozen = []

    def restore(self) -> None:
        self.thaw()
        if self._process is None:
            self.start()

    @contextlib.contextmanager
    def running(self) -> Iterator["BreakableServer"]:
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def _family(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]
