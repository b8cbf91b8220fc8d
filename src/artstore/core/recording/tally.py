"""Keeps a flood of one kind from filling the log: the first of each minute are told one by one,
the others as their number.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

WINDOW_S: Final = 60.0
SOURCES_MAX: Final = 1000
"""Bounds memory, and with `WINDOW_S` what a flood from everywhere can write."""

T = TypeVar("T")


@dataclass
class Counted(Generic[T]):
    sample: T
    """The first of them."""
    since_s: float
    mixed: bool
    """They came from more sources than are told apart."""
    told: int = 0
    untold: int = 0


class Tally(Generic[T]):
    """In this process only: a bound on what is written, not on what is allowed."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._counts: dict[Hashable, Counted[T]] = {}

    def is_told(self, source: Hashable, sample: T, each_window: int) -> bool:
        """Whether this one is among the first of its minute; if not, it is counted.

        Where there are too many sources, new ones are counted together.
        """
        mixed = source not in self._counts and len(self._counts) >= SOURCES_MAX
        if mixed:
            source = None
        counted = self._counts.setdefault(source, Counted(sample, self._monotonic_s(), mixed))
        if counted.told < each_window:
            counted.told += 1
            return True
        counted.untold += 1
        return False

    def ended(self, *, all_of_them: bool = False) -> list[Counted[T]]:
        """Minutes that are over and had more than was told. They are forgotten."""
        now_s = self._monotonic_s()
        over = [
            source
            for source, counted in self._counts.items()
            if all_of_them or now_s - counted.since_s >= WINDOW_S
        ]
        return [counted for source in over if (counted := self._counts.pop(source)).untold]
