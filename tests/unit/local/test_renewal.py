"""Certificates of a stack that runs for weeks."""

import asyncio
import signal
from datetime import datetime, timedelta
from errno import ENOSPC
from pathlib import Path

import pytest

from artstore.core.clock import SystemClock
from artstore.local import edge, pki, run
from artstore.local.home import Home
from artstore.local.layout import Layout
from artstore.local.logs import EventLog, RotatingLog
from artstore.local.ports import Ports


class LateClock(SystemClock):
    late = timedelta()

    def now(self) -> datetime:
        return super().now() + self.late


class Recorder:
    """Takes the supervisor's place and writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.all_asked = asyncio.Event()

    async def restart(self, name: str) -> None:
        await asyncio.sleep(0)
        self._note("restart", name)

    def signal(self, name: str, signal_number: signal.Signals) -> None:
        assert signal_number == edge.RELOAD
        self._note("reload", name)

    def _note(self, what: str, name: str) -> None:
        self.asked.append((what, name))
        if len(self.asked) == 6:
            self.all_asked.set()


async def test_due_certificates_are_renewed_and_their_owners_told_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RENEWAL_CHECK_INTERVAL", timedelta(milliseconds=1))
    clock, recorder = LateClock(), Recorder()
    layout = Layout(Home.at(tmp_path / "home"), Ports.from_base(18000))
    layout.write(clock.now())
    events = EventLog(RotatingLog(layout.home.log / "supervisor.log"), clock)
    task = asyncio.create_task(
        run._keep_certificates_fresh(layout, clock, recorder, events)  # type: ignore[arg-type]
    )
    await asyncio.sleep(0.05)
    assert recorder.asked == []

    clock.late = timedelta(days=5)
    await asyncio.wait_for(recorder.all_asked.wait(), 30)

    task.cancel()
    events.close()
    modules = ["admin-1", "edit-1", "rw-1", "ingester-1", "query-1"]
    assert recorder.asked == [*(("restart", name) for name in modules), ("reload", "edge")]


async def test_a_disk_that_is_full_puts_renewal_off_and_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RENEWAL_CHECK_INTERVAL", timedelta(milliseconds=1))
    clock, recorder = LateClock(), Recorder()
    layout = Layout(Home.at(tmp_path / "home"), Ports.from_base(18000))
    layout.write(clock.now())
    clock.late = timedelta(days=5)
    tried = asyncio.Event()
    write = pki.write_private_together

    def full(contents: object) -> None:
        tried.set()
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(pki, "write_private_together", full)
    events = EventLog(RotatingLog(layout.home.log / "supervisor.log"), clock)
    task = asyncio.create_task(
        run._keep_certificates_fresh(layout, clock, recorder, events)  # type: ignore[arg-type]
    )
    await asyncio.wait_for(tried.wait(), 30)
    assert recorder.asked == []

    monkeypatch.setattr(pki, "write_private_together", write)
    await asyncio.wait_for(recorder.all_asked.wait(), 30)
    task.cancel()
    events.close()
