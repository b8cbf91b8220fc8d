"""Reads everything again, slowly and for ever, and keeps account of what is not as it was.

One thread of low priority, at a bounded rate. Damage is believed when it was seen twice,
the second time with the file's claim held and nothing changed in between. Then it is told
in the log, damaged bytes go to the quarantine, and a small file remembers that it is open.
"""

import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import SCRUB_BYTES, SCRUB_LAST_COMPLETED, SCRUB_PROGRESS
from artstore.core.model.scrub import ScrubRequest, ScrubState, ScrubStatus
from artstore.storage.engine.scrub.aside import Aside
from artstore.storage.engine.scrub.docket import Docket
from artstore.storage.engine.scrub.ledger import Ledger
from artstore.storage.engine.scrub.pace import Pace
from artstore.storage.engine.scrub.progress import Progress, load, save
from artstore.storage.engine.scrub.round import Element, Round

SAVE_INTERVAL_S: Final = 10.0
RETRY_INTERVAL_S: Final = 60.0
"""After the volume or the store did not answer."""

_POLL_S: Final = 5.0
_NAP_S: Final = 0.5
"""The longest sleep between two pieces: so late it obeys, at the worst."""

_NICENESS: Final = 19


class PassEnds(Exception):
    """The pass is paused or begun anew, or the element stops."""


class Scrub:
    """
    Args:
        interval_s: From the end of a pass to the beginning of the next; 0: on demand only.
        used_bytes: What the volume holds, about.
    """

    def __init__(
        self,
        *,
        element: Element,
        docket: Docket,
        ledger: Ledger,
        aside: Aside,
        clock: Clock,
        interval_s: float,
        rate_bytes_per_s: int,
        used_bytes: Callable[[], int],
    ) -> None:
        self._element = element
        self._docket = docket
        self._ledger = ledger
        self._aside = aside
        self._clock = clock
        self._interval_s = interval_s
        self._used_bytes = used_bytes
        self._changed = threading.Condition()
        self._pace = Pace(clock, self._nap, rate_bytes_per_s)
        self._progress = load(element.fs, element.layout)
        self._pass = 0
        """Another number: the running pass is not wanted any more."""
        self._saved_at_s = 0.0
        self._trouble: str | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="scrub")
        self._repairs = 0

    def start(self) -> None:
        self._docket.load()
        self._thread.start()

    def stop(self) -> None:
        """What was reached is kept; the next start goes on from there."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    # --- asked from outside -----------------------------------------------------------

    def command(self, request: ScrubRequest) -> ScrubStatus:
        """In force, and kept over a restart, on return."""
        with self._changed:
            if request.rate_bytes_per_s is not None:
                self._pace.rate_per_s = request.rate_bytes_per_s
            match request.action, self._progress.state:
                case "start", _:
                    self._begin()
                case "pause", ScrubState.RUNNING:
                    self._progress.state = ScrubState.PAUSED
                case "resume", ScrubState.PAUSED:
                    self._progress.state = ScrubState.RUNNING
            save(self._element.fs, self._element.layout, self._progress)
            self._changed.notify_all()
        return self.status()

    def status(self) -> ScrubStatus:
        progress = self._progress
        return ScrubStatus(
            state=progress.state,
            started_at=progress.started_at,
            checked_files=progress.checked_files,
            checked_bytes=progress.checked_bytes,
            findings=progress.findings,
            open_findings=self._docket.open_count,
            progress_after=progress.after,
            progress_ratio=self._ratio(),
            rate_bytes_per_s=self._pace.rate_per_s,
            last_completed_at=progress.last_completed_at,
            next_at=self._next_at(),
            trouble=self._trouble,
        )

    def note_repair(self) -> None:
        """A content was made whole without a change of its record."""
        self._repairs += 1

    # --- the thread -------------------------------------------------------------------

    def run_pass(self) -> bool:
        """Go on with the pass to its end. False if it has to end before.

        Raises:
            OSError, Unavailable, NoRoom: It cannot get on now.
        """
        number = self._pass
        progress = self._progress
        work = Round(
            element=self._element,
            docket=self._docket,
            ledger=self._ledger,
            aside=self._aside,
            progress=progress,
            spend=lambda size: self._spend(size, number),
            count_bytes=self._count_bytes,
            repairs=lambda: self._repairs,
        )
        try:
            work.run()
        except PassEnds:
            return False
        finally:
            self._save()
        with self._changed:
            if number == self._pass:
                progress.complete(self._clock.now())
                save(self._element.fs, self._element.layout, progress)
        return True

    def _run(self) -> None:
        # Of this thread alone: uploads come first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while self._wait_for_work():
            try:
                self.run_pass()
                self._trouble = None
            except Exception as error:  # noqa: BLE001  the edge of the loop: it never just ends
                self._trouble = str(error) or repr(error)
                get_logger().warning("the scrub does not get on", exc_info=error)
                self._wait(RETRY_INTERVAL_S)

    def _wait_for_work(self) -> bool:
        """False when the element stops."""
        with self._changed:
            while not self._stopping:
                self._show()
                next_at = self._next_at()
                if self._progress.state is ScrubState.RUNNING:
                    return True
                if next_at is not None and self._clock.now() >= next_at:
                    self._begin()
                    return True
                self._changed.wait(self._until(next_at))
        return False

    def _until(self, moment: datetime | None) -> float:
        if moment is None:
            return _POLL_S
        return min(_POLL_S, max(0.0, (moment - self._clock.now()).total_seconds()))

    def _begin(self) -> None:
        self._pass += 1
        self._progress = Progress(
            last_completed_at=self._progress.last_completed_at,
            last_checked_bytes=self._progress.last_checked_bytes,
        )
        self._progress.begin(self._clock.now())

    def _next_at(self) -> datetime | None:
        progress = self._progress
        if self._interval_s == 0 or progress.state is not ScrubState.IDLE:
            return None
        return self._since() + timedelta(seconds=self._interval_s)

    def _since(self) -> datetime:
        return self._progress.last_completed_at or self._element.file().created_at

    def _spend(self, size: int, number: int) -> None:
        """Raises `PassEnds`."""
        if not self._is_wanted(number):
            raise PassEnds
        self._pace.take(size, lambda: self._is_wanted(number))
        now_s = self._clock.monotonic_s()
        if now_s - self._saved_at_s >= SAVE_INTERVAL_S:
            self._saved_at_s = now_s
            self._save()
            self._show()

    def _is_wanted(self, number: int) -> bool:
        running = self._progress.state is ScrubState.RUNNING
        return running and number == self._pass and not self._stopping

    def _count_bytes(self, size: int) -> None:
        self._progress.checked_bytes += size
        SCRUB_BYTES.inc(size)

    def _save(self) -> None:
        with self._changed:
            save(self._element.fs, self._element.layout, self._progress)

    def _show(self) -> None:
        SCRUB_LAST_COMPLETED.set(self._since().timestamp())
        SCRUB_PROGRESS.set(self._ratio())

    def _ratio(self) -> float:
        progress = self._progress
        if progress.state is ScrubState.IDLE:
            return 1.0
        expected = progress.last_checked_bytes or self._used_bytes()
        return min(1.0, progress.checked_bytes / expected) if expected else 0.0

    def _nap(self, seconds: float) -> None:
        self._wait(min(seconds, _NAP_S))

    def _wait(self, seconds: float) -> None:
        with self._changed:
            if not self._stopping:
                self._changed.wait(seconds)
