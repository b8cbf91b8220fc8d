"""The stack in the background, as `artstore up --detach`, `down`, `status` and tests use it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from artstore.core.clock import Clock
from artstore.local.failures import StackFailure
from artstore.local.home import AlreadyRunning, Home
from artstore.local.layout import Layout
from artstore.local.modules import base_environment
from artstore.local.ports import Ports
from artstore.local.run import ORPHAN_GRACE_S, run
from artstore.local.status import Health, ProcessReport, remembered_layout, reports
from artstore.local.supervisor import end_orphans

STOP_LIMIT_S: Final = 120.0


class Stack:
    """One copy of ArtStore on this machine, in one state directory."""

    def __init__(self, home: Home, ports: Ports | None = None) -> None:
        """
        Args:
            ports: Those to start on; otherwise those of the last start.
        """
        self.home = home
        self._ports = ports
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def layout(self) -> Layout:
        if self._ports is not None:
            return Layout(self.home, self._ports)
        return remembered_layout(self.home)

    @property
    def is_running(self) -> bool:
        return self.home.supervisor() is not None

    def start(self) -> None:
        """In the background; returns when everything is ready.

        Raises:
            AlreadyRunning: It is running here.
            StackFailure: It cannot be started; nothing is left running.
        """
        if self.is_running:
            raise AlreadyRunning(f"ArtStore is already running in {self.home.root}")
        self.home.create()
        reading, writing = os.pipe()
        with (self.home.log / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                self._daemon_command(writing),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home.root,
                env=base_environment(),
                start_new_session=True,
                pass_fds=[writing],
            )
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                report = pipe.read()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        if not report:
            process.wait()
            log_file = self.home.log / "supervisor.log"
            raise StackFailure(f"the supervisor ended early; {log_file} says why")
        failure = json.loads(report)["failure"]
        if failure is not None:
            process.wait()
            raise StackFailure(failure)
        self._daemon = process

    def stop(self) -> bool:
        """Stop everything in good order. Says whether anything was running.

        Raises:
            StackFailure: It does not stop.
        """
        supervisor = self.home.supervisor()
        if supervisor is None:
            return bool(end_orphans(self.home.status_file, self.home.root, ORPHAN_GRACE_S))
        supervisor.ask(signal.SIGTERM)
        if not supervisor.wait_gone(STOP_LIMIT_S):
            raise StackFailure(
                f"the supervisor (pid {supervisor.pid}) does not stop. Its log, "
                f"{self.home.log}/supervisor.log, says what it waits for; kill -9 is safe."
            )
        if self._daemon is not None:
            self._daemon.wait()
        return True

    def processes(self) -> list[ProcessReport]:
        return asyncio.run(reports(self.layout))

    def is_ready(self) -> bool:
        found = self.processes()
        return bool(found) and all(process.health is Health.READY for process in found)

    def _daemon_command(self, report_to: int) -> list[str]:
        ports = json.dumps(vars(self.layout.ports))
        return [sys.executable, "-m", "artstore.local", str(self.home.root), ports, str(report_to)]


def daemon(arguments: Sequence[str], clock: Clock) -> int:
    """The process behind `Stack.start`."""
    root, ports, report_to = arguments
    layout = Layout(Home.at(Path(root)), Ports(**json.loads(ports)))
    report = _Report(int(report_to))
    try:
        run(layout, clock, lambda: report.send(None))
    except StackFailure as failure:
        report.send(str(failure))
        return 1
    return 0


class _Report:
    """Tells whoever waits for the start how it went; once."""

    def __init__(self, pipe: int) -> None:
        # Our children must not hold the other end open: whoever waits would wait on.
        os.set_inheritable(pipe, False)
        self._pipe: int | None = pipe

    def send(self, failure: str | None) -> None:
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, json.dumps({"failure": failure}).encode())
        except BrokenPipeError:
            # Nobody waits any more. That is no reason to stop.
            pass
        finally:
            os.close(self._pipe)
            self._pipe = None
