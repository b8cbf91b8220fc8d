"""What every part of a running element stands on."""

from collections.abc import Callable

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.storage.engine import recovery
from artstore.storage.engine.admission import Admission
from artstore.storage.engine.backends.base import Backend, StoreAway
from artstore.storage.engine.capacity import Room
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.entries import Stored
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.log import Body
from artstore.storage.engine.modes import Standing
from artstore.storage.engine.opening import EngineOptions, open_log
from artstore.storage.engine.reading import Reading
from artstore.storage.engine.record import Codec, RecordType, encode_checkpoint
from artstore.storage.engine.recovery import FoundLog
from artstore.storage.engine.submission import Submission, WaitForOutcome
from artstore.storage.engine.writer import Writer


class Foundation:
    """The log and the one who writes it, and what it takes to judge, claim and read files.

    Args:
        found: The log as it lies there; `catch_up` brings the files into its state.
        wait: For the writer thread.
        on_durable: Called with the new head after each group, in the writer thread.
    """

    def __init__(
        self,
        *,
        options: EngineOptions,
        fs: Fs,
        clock: Clock,
        layout: Layout,
        backend: Backend,
        element: ElementFile,
        found: FoundLog,
        wait: WaitForOutcome,
        on_durable: Callable[[int], None],
    ) -> None:
        # Given, for those who build upon it.
        self.options = options
        self.fs = fs
        self.clock = clock
        self.layout = layout
        self.backend = backend
        # The element and its files.
        self.standing = Standing(fs, layout, element)
        self.claims = Claims()
        self.reading = Reading(backend, self.claims)
        self.room = Room(
            fs,
            options.root,
            options.reserved_bytes,
            clock,
            thresholds=options.thresholds,
            store_volume=backend.volume,
        )
        # The log.
        self.codec = Codec(element.log_id)
        self._is_new = found.next_sequence == 1
        self.segments, self.log = open_log(fs, layout, element.log_id, found, options.segment_bytes)
        self.writer = Writer(
            log=self.log,
            backend=backend,
            segments=self.segments,
            claims=self.claims,
            connect=self._connect,
            existing=self._existing,
            on_durable=on_durable,
        )
        self.submission = Submission(self.writer, clock, wait)
        self.admission = Admission(self.writer, self.standing, self.room)

    def catch_up(self, found: FoundLog) -> int:
        """Put in place what no checkpoint covers; if the store is away, that is owed. Returns
        up to where a checkpoint reaches afterwards."""

        def replay() -> int:
            return recovery.replay(self.fs, self.codec, found, self.backend)

        covered = found.covered
        try:
            self._connect()
            replayed = replay()
            if replayed:
                get_logger().info("log replayed", changes=replayed)
                covered = found.next_sequence - 1
                self.checkpoint(covered)
                self.backend.drop_staged(covered)
        except StoreAway as away:
            self.writer.leave(away, replay)
            covered = found.covered
        recovery.clear_staging(self.fs, self.layout)
        return covered

    def checkpoint(self, covers: int) -> None:
        """While no writer runs."""
        self.backend.settle(self.standing.element)
        self.log.append([Body(RecordType.CHECKPOINT, 0, (encode_checkpoint(covers),))])

    def _connect(self) -> None:
        self.standing.connect(self.backend, is_new=self._is_new)

    def _existing(self, wanted: FileRecord) -> Stored | None:
        return self.reading.known(wanted.file_id, wanted.size, wanted.sha256)
