"""Where changes wait until the writer takes them, a group at a time."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from artstore.core.errors import Unavailable
from artstore.storage.engine.entries import Entry, Marker, Note

GROUP_RECORDS_MAX: Final = 256
GROUP_BYTES_MAX: Final = 4 << 20
QUEUE_BYTES_MAX: Final = 64 << 20
"""Beyond this the element is slower than its callers; more waiting would only use memory."""


class Waiting:
    """Filled by many threads, emptied by one."""

    def __init__(self) -> None:
        self._entries: deque[Entry | Note] = deque()
        self._bytes = 0
        self._marker: Marker | None = None
        self._changed = threading.Condition()
        self._is_woken = False
        self._is_closing = False

    def add(self, entries: Sequence[Entry | Note]) -> None:
        """All of them or none. They stay together, as far as a group can hold them.

        Raises:
            Unavailable: The element stops, or too much waits already.
        """
        size = sum([entry.size for entry in entries])
        with self._changed:
            if self._is_closing:
                raise Unavailable("the storage element is stopping")
            if self._bytes + size > QUEUE_BYTES_MAX and self._entries:
                raise Unavailable("the storage element is busy", retry_after_s=1)
            self._bytes += size
            self._entries += entries
            self._changed.notify_all()

    def add_marker(self, marker: Marker) -> None:
        """It goes behind the changes of the next group."""
        with self._changed:
            self._marker = marker
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more in."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def wait(self, timeout_s: float | None) -> bool:
        """Until there is something to take, or `wake`, or the time is over. False at the end:
        it is closed and empty."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._entries or self._marker or self._is_woken or self._is_closing,
                timeout_s,
            )
            self._is_woken = False
            return bool(self._entries) or self._marker is not None or not self._is_closing

    def take(self) -> tuple[list[Entry | Note], Marker | None]:
        """The next group, and the marker that goes behind it; nothing if nothing waits."""
        group: list[Entry | Note] = []
        size = 0
        with self._changed:
            while self._entries and len(group) < GROUP_RECORDS_MAX:
                size += self._entries[0].size
                if group and size > GROUP_BYTES_MAX:
                    break
                group.append(self._entries.popleft())
                self._bytes -= group[-1].size
            marker, self._marker = self._marker, None
        return group, marker
