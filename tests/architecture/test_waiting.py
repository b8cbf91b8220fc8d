"""What every test waits with."""

import pytest
from tests.support import processes
from tests.support.hand_clock import HandClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    monkeypatch.setattr(processes.time, "monotonic", clock.monotonic_s)
    monkeypatch.setattr(processes.time, "sleep", clock.advance)
    return clock


def test_a_machine_that_stood_still_has_not_waited(clock: HandClock) -> None:
    rounds = []

    def condition() -> bool:
        rounds.append(1)
        clock.advance(300 if len(rounds) == 2 else 0)
        return len(rounds) == 9

    processes.wait_until(condition, "it")
    assert len(rounds) == 9


def test_what_never_happens_is_not_waited_for_much_longer_than_the_limit(clock: HandClock) -> None:
    before_s = clock.monotonic_s()
    with pytest.raises(AssertionError, match="it did not happen within 7 s"):
        processes.wait_until(lambda: False, "it", limit_s=7)
    assert 7 <= clock.monotonic_s() - before_s < 8
