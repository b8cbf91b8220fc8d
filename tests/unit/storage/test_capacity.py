"""What an element says of its room."""

import pytest

from artstore.core.model.element import CapacityState
from artstore.storage.engine.capacity import Thresholds

OK, WARNING, CRITICAL, FULL = CapacityState

GIB = 1 << 30


@pytest.mark.parametrize(
    ("available", "state"),
    [
        (101, OK),
        (100, WARNING),
        (51, WARNING),
        (50, CRITICAL),
        (1, CRITICAL),
        (0, FULL),
        (-9, FULL),
    ],
)
def test_a_share_is_one_of_the_volume(available: int, state: CapacityState) -> None:
    assert Thresholds(0.1, 0.05).state(available, 1000) is state


@pytest.mark.parametrize(
    ("available", "state"), [(11 * GIB, OK), (10 * GIB, WARNING), (GIB, CRITICAL), (0, FULL)]
)
def test_more_than_one_is_bytes(available: int, state: CapacityState) -> None:
    assert Thresholds(10 * GIB, GIB).state(available, 1 << 50) is state


def test_nothing_is_said_before_the_end_if_nobody_asked_for_it() -> None:
    assert Thresholds(0, 0).state(1, 1000) is OK
