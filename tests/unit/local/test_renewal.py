"""Certificates of a stack that runs for weeks."""

import asyncio
import signal
from datetime import datetime, timedelta
from errno import ENOSPC
from pathlib import Path

import pytest
from tests.support.processes import wait_until

from artstore.core import private_files
from artstore.core.clock import SystemClock
from artstore.core.tls import PeerIdentity
from artstore.local import certificate_store, edge, pki, run
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
        self.asked: list[str] = []
        self.told = asyncio.Event()

    def signal(self, name: str, signal_number: signal.Signals) -> None:
        assert signal_number == edge.RELOAD
        self.asked.append(name)
        self.told.set()


async def test_due_certificates_are_renewed_and_the_edge_is_told(
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
    await asyncio.wait_for(recorder.told.wait(), 30)

    clock.late += certificate_store.FOLLOWED

    def is_renewed(identity: PeerIdentity) -> bool:
        certificate = layout.certificates.certificate(identity.instance)
        return certificate is not None and pki.renewal_due(certificate, clock.now()) > clock.now()

    await asyncio.to_thread(
        wait_until, lambda: all(map(is_renewed, layout.identities)), "all of them renewed"
    )
    task.cancel()
    events.close()
    # Once for its own certificate and those that modules are going to show.
    assert recorder.asked == ["edge"]


async def test_a_disk_that_is_full_puts_renewal_off_and_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RENEWAL_CHECK_INTERVAL", timedelta(milliseconds=1))
    clock, recorder = LateClock(), Recorder()
    layout = Layout(Home.at(tmp_path / "home"), Ports.from_base(18000))
    layout.write(clock.now())
    clock.late = timedelta(days=5)
    tried = asyncio.Event()
    write = private_files.write_private_together

    def full(contents: object) -> None:
        tried.set()
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(certificate_store, "write_private_together", full)
    events = EventLog(RotatingLog(layout.home.log / "supervisor.log"), clock)
    task = asyncio.create_task(
        run._keep_certificates_fresh(layout, clock, recorder, events)  # type: ignore[arg-type]
    )
    await asyncio.wait_for(tried.wait(), 30)
    assert recorder.asked == []

    monkeypatch.setattr(certificate_store, "write_private_together", write)
    await asyncio.wait_for(recorder.told.wait(), 30)
    task.cancel()
    events.close()
