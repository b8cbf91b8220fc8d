"""A flood is told as its first few and a number."""

import pytest

from artstore.core.recording import tally as module
from artstore.core.recording.tally import Tally


class Watch:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_first_of_each_minute_are_told() -> None:
    watch = Watch()
    tally: Tally[str] = Tally(watch)
    assert [tally.is_told("a", "sample", 2) for _ in range(5)] == [True, True, False, False, False]
    assert tally.is_told("b", "other", 2)
    assert tally.ended() == []

    watch.now_s = 60
    (counted,) = tally.ended()
    assert (counted.sample, counted.untold) == ("sample", 3)
    assert tally.ended() == []
    assert tally.is_told("a", "sample", 2), "the next minute begins anew"


def test_a_flood_from_everywhere_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOURCES_MAX", 10)
    watch = Watch()
    tally: Tally[int] = Tally(watch)
    told = sum(tally.is_told(source, source, 1) for source in range(1000))
    assert told == 11

    watch.now_s = 60
    (counted,) = tally.ended()
    assert counted.mixed
    assert counted.untold == 1000 - told


def test_at_the_end_all_numbers_are_told() -> None:
    tally: Tally[str] = Tally(Watch())
    for _ in range(3):
        tally.is_told("a", "sample", 1)
    assert [counted.untold for counted in tally.ended(all_of_them=True)] == [2]
