"""How much fits. The reserve stays free, so that what was promised always finds its room."""

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from artstore.core.clock import Clock
from artstore.core.errors import NoRoom
from artstore.core.metrics import ELEMENT_CAPACITY, ELEMENT_CAPACITY_STATE
from artstore.core.model.element import Capacity, CapacityState
from artstore.storage.engine.fs import Fs, Volume

MEASURE_INTERVAL_S: Final = 0.5
FILES_RESERVED: Final = 4096
"""Inodes that stay free: two per file of all groups that can wait at once."""


class Thresholds(NamedTuple):
    """When to say that room runs out: as soon as no more than so much is free above the
    reserve. Up to 1 it is a share of the volume, beyond that bytes."""

    warning: float = 0.15
    critical: float = 0.05

    def state(self, available: int, total: int) -> CapacityState:
        """Args: both in bytes; `available` as `Capacity` has it."""
        if available <= 0:
            return CapacityState.FULL
        if available <= _bytes_of(self.critical, total):
            return CapacityState.CRITICAL
        if available <= _bytes_of(self.warning, total):
            return CapacityState.WARNING
        return CapacityState.OK


THRESHOLDS: Final = Thresholds()


def _bytes_of(threshold: float, total: int) -> float:
    return threshold * total if threshold <= 1 else threshold


class Room:
    def __init__(
        self,
        fs: Fs,
        root: str,
        reserved_bytes: int,
        clock: Clock,
        *,
        thresholds: Thresholds,
        store_volume: Callable[[], Volume | None],
    ) -> None:
        """Args: `store_volume`: of the store, if the files do not lie on the volume."""
        self._fs = fs
        self._root = root
        self._reserved_bytes = reserved_bytes
        self._clock = clock
        self._thresholds = thresholds
        self._lock = threading.Lock()
        self._promised_bytes = 0
        self._measured_at_s = clock.monotonic_s()
        self._store_volume = store_volume
        self._volume = fs.volume(root)

    def check(self, size: int) -> None:
        """Raises:
        NoRoom: `size` more bytes would touch the reserve.
        """
        volume = self._measure()
        store = self._store_volume()
        if store is not None:
            if store.free - self._promised_bytes < size:
                raise NoRoom("the storage element is full")
            # The volume only takes the log.
            size = 0
        if volume.free - self._promised_bytes - size < self._reserved_bytes:
            raise NoRoom("the storage element is full")
        if _has_no_files(volume):
            raise NoRoom("the storage element can take no more files")

    def promise(self, size: int) -> None:
        """Keep `size` bytes for an upload. Raises `NoRoom`."""
        with self._lock:
            self.check(size)
            self._promised_bytes += size

    def promise_again(self, size: int) -> None:
        """After a restart: it was promised before, whatever is free now."""
        with self._lock:
            self._promised_bytes += size

    def release(self, size: int) -> None:
        with self._lock:
            self._promised_bytes -= size

    def capacity(self) -> Capacity:
        store = self._store_volume()
        volume = store or self._measure()
        reserved = self._reserved_bytes if store is None else 0
        available = volume.free - self._promised_bytes - reserved
        state = self._thresholds.state(available, volume.total)
        capacity = Capacity(
            total=volume.total,
            used=volume.used,
            free=volume.free,
            reserved=reserved,
            state=CapacityState.FULL if _has_no_files(volume) else state,
        )
        for part in ("used", "free", "reserved"):
            ELEMENT_CAPACITY.labels(part).set(getattr(capacity, part))
        for possible in CapacityState:
            ELEMENT_CAPACITY_STATE.labels(possible.value).set(possible is capacity.state)
        return capacity

    def _measure(self) -> Volume:
        now_s = self._clock.monotonic_s()
        if now_s - self._measured_at_s >= MEASURE_INTERVAL_S:
            self._volume = self._fs.volume(self._root)
            self._measured_at_s = now_s
        return self._volume


def _has_no_files(volume: Volume) -> bool:
    # Some file systems (btrfs) do not count files and say 0 of 0.
    return 0 < volume.files_free < FILES_RESERVED
