"""An element on a simulated disk, without threads."""

import pytest
from tests.support.quiet import quiet_logs
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import Element, FixedClock, Ids, Oracle

__all__ = ["quiet_logs"]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def ids(clock: FixedClock) -> Ids:
    return Ids(clock)


@pytest.fixture
def fs() -> SimulatedFs:
    fs = SimulatedFs()
    fs.make_directory("/srv")
    return fs


@pytest.fixture
def element(fs: SimulatedFs, clock: FixedClock, quiet_logs: None) -> Element:
    return Element(fs, Oracle(), clock)
