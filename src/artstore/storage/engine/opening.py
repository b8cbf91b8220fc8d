"""What an element is opened with, and what it holds while it is open."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from artstore.core.clock import Clock
from artstore.core.model.element import StorageMode
from artstore.core.model.ids import ElementId
from artstore.storage.engine import identity
from artstore.storage.engine.capacity import THRESHOLDS, Thresholds
from artstore.storage.engine.fs import Fs, make_directories
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.log import Log
from artstore.storage.engine.recovery import FoundLog
from artstore.storage.engine.refusals import ElementInUse
from artstore.storage.engine.segments import Segments

SEGMENT_BYTES: Final = 32 << 20


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    root: str
    element_id: ElementId
    mode: StorageMode
    """Of a new element; later the one in element.json holds."""
    reserved_bytes: int
    thresholds: Thresholds = THRESHOLDS
    segment_bytes: int = SEGMENT_BYTES
    checkpoint_interval_s: float = 5.0
    unflushed_bytes_max: int = 256 << 20
    has_helper: bool = False
    """Small files are made by a process of their own: see `placer`."""
    scrub_interval_s: float = 0
    """0: on demand only."""
    scrub_rate_bytes_per_s: int = 20_000_000
    archive_directory: str | None = None
    """Where contents go in mode `ar`; `None`: they stay where they are."""
    archive_rate_bytes_per_s: int = 50_000_000


class OpenRoot(NamedTuple):
    """What is held while the element is open."""

    element: identity.ElementFile
    lock: int
    volume: int

    @classmethod
    @contextmanager
    def closed_on_failure(
        cls, fs: Fs, layout: Layout, options: EngineOptions, clock: Clock
    ) -> Iterator[Self]:
        make_directories(fs, layout.root)
        try:
            lock = fs.lock(layout.lock)
        except BlockingIOError:
            raise ElementInUse(f"another process serves the element in {layout.root}") from None
        with ExitStack() as stack:
            stack.callback(fs.close, lock)
            volume = fs.open_directory(layout.root)
            stack.callback(fs.close, volume)
            element = identity.load_or_create(
                fs, layout, element_id=options.element_id, mode=options.mode, now=clock.now()
            )
            yield cls(element, lock, volume)
            stack.pop_all()

    def close(self, fs: Fs) -> None:
        fs.close(self.volume)
        fs.close(self.lock)


def open_log(
    fs: Fs, layout: Layout, log_id: bytes, found: FoundLog, segment_bytes: int
) -> tuple[Segments, Log]:
    """The log as `found`, ready for the next record."""
    segments = Segments(fs, layout, segment_bytes, found.history, found.raw)
    log = Log(
        fs,
        segments,
        log_id,
        segment_bytes=segment_bytes,
        next_sequence=found.next_sequence,
        crc=found.crc,
    )
    return segments, log
