"""Lines for the end of a run: how much a search looked at, and why a test had to be run again."""

from collections.abc import Callable

import pytest

PROPERTY = "summary"
REASON_LINES_MAX = 60
"""Of what a failed attempt says; its end tells most."""
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
    # pytest itself shows the last attempt only, which passed or failed for another reason.
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"{report.nodeid}: why it was run again")
        for line in report.longreprtext.splitlines()[-REASON_LINES_MAX:]:
            terminalreporter.write_line(line)
