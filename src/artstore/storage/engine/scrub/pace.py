"""A bounded rate: whoever takes more than was saved up waits."""

from collections.abc import Callable
from typing import Final

from artstore.core.clock import Clock

BURST_S: Final = 0.25
"""So much of the rate may be used at once: work comes in steps of up to a megabyte."""


class Pace:
    """A bucket of bytes that fills with time. One thread at a time.

    Args:
        wait: Sleeps up to so many seconds; shorter if something happened.
    """

    def __init__(self, clock: Clock, wait: Callable[[float], object], rate_per_s: int) -> None:
        self._clock = clock
        self._wait = wait
        self.rate_per_s = rate_per_s
        self._saved = rate_per_s * BURST_S
        self._looked_at_s = clock.monotonic_s()

    def take(self, size: int, go_on: Callable[[], bool]) -> None:
        """Wait for `size` bytes of the rate, or until `go_on` says no."""
        self._fill()
        self._saved -= size
        # Less than a byte is no debt: a clock has a resolution.
        while self._saved <= -1 and go_on():
            self._wait(-self._saved / self.rate_per_s)
            self._fill()

    def _fill(self) -> None:
        now_s = self._clock.monotonic_s()
        passed_s, self._looked_at_s = now_s - self._looked_at_s, now_s
        burst = self.rate_per_s * BURST_S
        self._saved = min(burst, self._saved + passed_s * self.rate_per_s)
