"""How much fits. The reserve stays free, so that what was promised always finds its room."""

import threading
from typing import Final

from artstore.core.clock import Clock
from artstore.core.errors import NoRoom
from artstore.core.metrics import ELEMENT_CAPACITY
from artstore.core.model.element import Capacity
from artstore.storage.engine.fs import Fs, Volume

MEASURE_INTERVAL_S: Final = 0.5
FILES_RESERVED: Final = 4096
"""Inodes that stay free: two per file of all groups that can wait at once."""


class Room:
    def __init__(self, fs: Fs, root: str, reserved_bytes: int, clock: Clock) -> None:
        self._fs = fs
        self._root = root
        self._reserved_bytes = reserved_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._promised_bytes = 0
        self._measured_at_s = clock.monotonic_s()
        self._volume = fs.volume(root)

    def check(self, size: int) -> None:
        """Raises:
        NoRoom: `size` more bytes would touch the reserve.
        """
        volume = self._measure()
        if volume.free - self._promised_bytes - size < self._reserved_bytes:
            raise NoRoom("the storage element is full")
        # Some file systems (btrfs) do not count files and say 0 of 0.
        if 0 < volume.files_free < FILES_RESERVED:
            raise NoRoom("the storage element can take no more files")

    def promise(self, size: int) -> None:
        """Keep `size` bytes for an upload. Raises `NoRoom`."""
        with self._lock:
            self.check(size)
            self._promised_bytes += size

    def release(self, size: int) -> None:
        with self._lock:
            self._promised_bytes -= size

    def capacity(self) -> Capacity:
        volume = self._measure()
        capacity = Capacity(
            total=volume.total, used=volume.used, free=volume.free, reserved=self._reserved_bytes
        )
        for state in ("used", "free", "reserved"):
            ELEMENT_CAPACITY.labels(state).set(getattr(capacity, state))
        return capacity

    def _measure(self) -> Volume:
        now_s = self._clock.monotonic_s()
        if now_s - self._measured_at_s >= MEASURE_INTERVAL_S:
            self._volume = self._fs.volume(self._root)
            self._measured_at_s = now_s
        return self._volume
