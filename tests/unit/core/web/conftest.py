from collections.abc import Iterator

import pytest
from starlette.types import ASGIApp
from tests.support.wire import Make, Wire


@pytest.fixture
def wire() -> Iterator[Make]:
    wires: list[Wire] = []

    def make(application: ASGIApp) -> Wire:
        wires.append(Wire(application))
        return wires[-1]

    yield make
    for each in wires:
        each.connection.connection_lost(None)
