"""The background work: checkpoints, history, the spare segment.

A checkpoint flushes the whole volume, so that thousands of small files cost one flush, and
then says so in the log. What lies before it is never replayed again and leaves the log.
"""

import threading
from collections.abc import Callable
from typing import Final

from artstore.core.logging import get_logger
from artstore.storage.engine.backends.base import Backend, StoreAway
from artstore.storage.engine.entries import Marker
from artstore.storage.engine.fs import NO_ROOM_ERRORS, Fs, read_file
from artstore.storage.engine.history import write_history
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import BadRecord, Codec
from artstore.storage.engine.segments import HistorySegment, Segments
from artstore.storage.engine.writer import Writer

POLL_S: Final = 0.25


class Keeper:
    """Args:
    element: Who the element is now, for the store to remember.
    covered: Up to where the last checkpoint reaches.
    """

    def __init__(
        self,
        *,
        fs: Fs,
        layout: Layout,
        codec: Codec,
        segments: Segments,
        writer: Writer,
        backend: Backend,
        element: Callable[[], ElementFile],
        covered: int,
        interval_s: float,
        unflushed_bytes_max: int,
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._codec = codec
        self._segments = segments
        self._writer = writer
        self._backend = backend
        self._element = element
        self._covered = covered
        self._interval_s = interval_s
        self._unflushed_bytes_max = unflushed_bytes_max
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-keeper")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_due(self) -> bool:
        return self._writer.changed_head > self._covered

    def run_once(self) -> None:
        """A checkpoint if there is something to cover, then tidying.

        Raises:
            StoreAway: The store of the files cannot be reached.
        """
        if self.is_due:
            marker = self.begin_checkpoint()
            marker.answered.wait()
            self.end_checkpoint(marker)
        else:
            # Who only waits for files should know that it could not store them.
            self._backend.connect(self._element(), is_new=False)
        self.tidy()

    def begin_checkpoint(self) -> Marker:
        """Flush what is in place, and send the marker on its way into the log."""
        marker = Marker(self._writer.changed_head)
        self._writer.unflushed_bytes = 0
        self._backend.settle(self._element())
        self._writer.submit_marker(marker)
        return marker

    def end_checkpoint(self, marker: Marker) -> None:
        if marker.durable:
            self._covered = marker.covers
            self._backend.drop_staged(marker.covers)

    def tidy(self) -> None:
        """Turn sealed segments into history; have a spare ready."""
        for raw in self._segments.sealed_until(self._covered):
            history = write_history(self._fs, self._layout, self._codec, raw)
            self._segments.replace(raw, history)
        self._segments.provide_spare()
        written = [
            item.path for item in self._segments.snapshot() if isinstance(item, HistorySegment)
        ]
        self._backend.keep_history(written, lambda path: read_file(self._fs, path))

    def _run(self) -> None:
        waited_s = 0.0
        while not self._stopping.wait(POLL_S):
            waited_s += POLL_S
            due = (
                waited_s >= self._interval_s
                or self._writer.unflushed_bytes >= self._unflushed_bytes_max
            )
            if not due or self._writer.fault is not None or self._writer.away is not None:
                continue
            waited_s = 0.0
            try:
                self.run_once()
            except OSError as error:
                if error.errno not in NO_ROOM_ERRORS:
                    self._writer.fail("the volume cannot be flushed", error)
                else:
                    get_logger().warning("no room to tidy the log", cause=str(error))
            except StoreAway:
                self._writer.suspect()
            except BadRecord as error:
                self._writer.fail("a sealed log segment is damaged", error)
