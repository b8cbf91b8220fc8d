"""Keeps a flood of one kind from filling the log: so many a minute from each source."""

import time
from collections import OrderedDict
from collections.abc import Callable

SOURCES_MAX = 10_000
WINDOW_S = 60.0


class Recently:
    """In this process only: a bound on what is written, not on what is allowed."""

    def __init__(self, per_minute: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._monotonic_s = monotonic_s
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allows(self, source: str) -> bool:
        """Whether this one is among the first of its minute."""
        now_s = self._monotonic_s()
        since_s, count = self._seen.pop(source, (now_s, 0))
        if now_s - since_s >= WINDOW_S:
            since_s, count = now_s, 0
        self._seen[source] = (since_s, count + 1)
        if len(self._seen) > SOURCES_MAX:
            self._seen.popitem(last=False)
        return count < self._per_minute
