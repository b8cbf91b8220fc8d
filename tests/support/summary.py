"""Lines for the end of a run: how much a search looked at."""

from collections.abc import Callable

import pytest

PROPERTY = "summary"
Tell = Callable[[str], None]


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Part of the test's report, which also reaches us from a worker process."""
    return lambda line: request.node.user_properties.append((PROPERTY, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == PROPERTY:
                terminalreporter.write_line(line)
