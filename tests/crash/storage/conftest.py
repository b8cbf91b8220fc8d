"""Fixtures of the crash tests, and what they did in numbers."""

import pytest
from tests.support.quiet import quiet_logs
from tests.support.summary import SUMMARY

__all__ = ["quiet_logs"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash.get(SUMMARY, []):
        terminalreporter.write_line(line)
