"""Outcomes on their way from the writer thread back to the event loop, many at a time."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from artstore.storage.engine.writer import Done, Outcome

Settle = Callable[[Outcome], None]


class Gate:
    """Wakes the event loop once for all that became ready together: waking it costs a system
    call and makes both threads wait for the interpreter. Create it inside the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[Settle, Outcome]] = deque()
        self._is_woken = False

    def behind(self, settle: Settle) -> Done:
        """For the engine, to be called in any thread: calls `settle` in the event loop."""

        def done(outcome: Outcome) -> None:
            self._ready.append((settle, outcome))
            if not self._is_woken:
                self._is_woken = True
                # RuntimeError: the loop is gone, and with it whoever asked.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._settle_ready)

        return done

    def answer(self) -> tuple[Done, asyncio.Future[Outcome]]:
        """For one outcome that somebody awaits."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def settle(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        return self.behind(settle), future

    def _settle_ready(self) -> None:
        # First, so that whatever comes from here on wakes the loop again.
        self._is_woken = False
        while self._ready:
            settle, outcome = self._ready.popleft()
            settle(outcome)
