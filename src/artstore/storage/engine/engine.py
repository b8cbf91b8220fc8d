"""The element as its services see it: its parts put together, started and ended.

What the parts do blocks; call it from worker threads, except `NewFiles.put_all` and
`Engine.info`, which only look at memory (and ask the volume twice a second).
"""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Self

from artstore import __version__
from artstore.core.clock import Clock, SystemClock
from artstore.core.errors import ArtStoreError
from artstore.core.logging import get_logger
from artstore.core.metrics import ELEMENT_MODE, ELEMENT_WRITABLE
from artstore.core.model.element import ElementInfo, StorageMode
from artstore.storage.engine import recovery
from artstore.storage.engine.archive.assembly import ArchiveParts
from artstore.storage.engine.archive.base import Archive
from artstore.storage.engine.backends.base import Backend, StoreAway
from artstore.storage.engine.backends.local import LocalBackend
from artstore.storage.engine.changes import Changes
from artstore.storage.engine.contents import Contents
from artstore.storage.engine.feed import Feed
from artstore.storage.engine.foundation import Foundation
from artstore.storage.engine.fs import Fs, LocalFs
from artstore.storage.engine.keeper import Keeper
from artstore.storage.engine.large_files import LargeFiles
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.log import LogFailed, LogFull
from artstore.storage.engine.modes import Modes
from artstore.storage.engine.new_files import NewFiles
from artstore.storage.engine.open_uploads import OpenUploads
from artstore.storage.engine.opening import EngineOptions, OpenRoot
from artstore.storage.engine.placer import DirectPlacer, PlacerProcess
from artstore.storage.engine.refusals import ElementRefused
from artstore.storage.engine.restored import RestoredCopies
from artstore.storage.engine.scrub.assembly import assemble
from artstore.storage.engine.scrub.docket import Docket
from artstore.storage.engine.submission import Answer


class Engine:
    """One element. `open`, `start`, and at the end `close`.

    Callers work with its parts. Files come in by `new_files`, `large_files` and `open_uploads`,
    after `admission`; `reading`, `contents` and `feed` show them, `changes` changes and ends
    them, `scrub` and `repairs` keep them whole. `modes`, `archiving` and `restored` are about
    what becomes of the element when it is full.
    """

    def __init__(
        self,
        options: EngineOptions,
        fs: Fs,
        clock: Clock,
        layout: Layout,
        opened: OpenRoot,
        *,
        backend: Backend,
    ) -> None:
        """Recovers. Use `open`."""
        self._opened = opened
        self._listeners: list[Callable[[], None]] = []
        found = recovery.read_log(fs, layout, opened.element.log_id)
        self._foundation = base = Foundation(
            options=options,
            fs=fs,
            clock=clock,
            layout=layout,
            backend=backend,
            element=opened.element,
            found=found,
            wait=self._outcome,
            on_durable=self._wake,
        )
        self._standing, self._writer = base.standing, base.writer
        self._keeper = _keeper(base, covered=base.catch_up(found))

        # From here on, what callers work with.
        self.admission = base.admission
        self.new_files = NewFiles(layout, base.claims, base.writer, base.admission, base.submission)
        self.large_files = _large_files(base)
        self.open_uploads = OpenUploads(fs, layout, base.room, clock, base.writer.fail)
        self.feed = Feed(fs, base.segments, base.codec, lambda: base.writer.head)
        self.modes = Modes(base.standing, base.writer, base.submission)
        self.restored = RestoredCopies(
            fs, layout, base.room, clock, admission=base.admission, fail=base.writer.fail
        )
        self.archiving = ArchiveParts.assemble(base)
        self.reading = base.reading
        self.contents = _contents(base, self.restored, self.archiving.archive)
        self.scrub, self.repairs, docket, self.damage_report = assemble(base, self.archiving)
        self.changes = _changes(base, docket)

    @classmethod
    def open(
        cls,
        options: EngineOptions,
        fs: Fs | None = None,
        clock: Clock | None = None,
        backend: Backend | None = None,
    ) -> Self:
        """Lock the root and bring the files into the state of its log; if their store is away,
        that follows when it is back, and until then the element is not ready.

        Args:
            backend: Where the files lie; the element's own volume if nothing else is said.

        Raises:
            ElementRefused: It must not be used like this; nothing was lost.
        """
        fs = fs or LocalFs()
        clock = clock or SystemClock()
        layout = Layout(options.root)
        try:
            with OpenRoot.closed_on_failure(fs, layout, options, clock) as opened:
                if backend is None:
                    placer = PlacerProcess() if options.has_helper else DirectPlacer(fs)
                    backend = LocalBackend(fs, layout, placer, opened.volume)
                return cls(options, fs, clock, layout, opened, backend=backend)
        except (OSError, LogFull, LogFailed) as error:
            raise ElementRefused(f"{layout.root}: the volume cannot be used: {error}") from error

    def start(self) -> None:
        self._writer.start()
        try:
            self.modes.tell()
        except ArtStoreError as error:
            # No reason to serve nothing at all; the next start tries again.
            get_logger().error("change of mode is not told yet", cause=repr(error))
        self._keeper.start()
        self.scrub.start()
        self.archiving.start()

    def close(self) -> None:
        """Finish what waits, and leave a checkpoint: the next start has nothing to replay."""
        self.archiving.stop()
        self.scrub.stop()
        self._keeper.stop()
        self._writer.close()
        base = self._foundation
        if self._writer.fault is None and self._keeper.is_due:
            try:
                base.checkpoint(self._writer.changed_head)
            except StoreAway as away:
                get_logger().warning("no checkpoint at the end", cause=away.detail)
            except (OSError, LogFull, LogFailed) as error:
                self._writer.fail("no checkpoint at the end", error)
        base.log.close()
        base.backend.close()
        self._opened.close(base.fs)

    def check(self) -> None:
        """Raises `Unavailable` after a fault of the volume."""
        self._writer.check()

    @property
    def is_archived(self) -> bool:
        """Contents are, or are about to be, in an archive."""
        return self._standing.mode is StorageMode.AR

    @property
    def head(self) -> int:
        return self._writer.head

    @property
    def feed_id(self) -> str:
        return self._standing.element.feed_id

    def info(self) -> ElementInfo:
        mode = self._standing.mode
        writable = mode.accepts_files and self._writer.fault is None and self._writer.away is None
        ELEMENT_WRITABLE.set(writable)
        for possible in StorageMode:
            ELEMENT_MODE.labels(possible.value).set(possible is mode)
        return ElementInfo(
            element_id=self._standing.element.element_id,
            mode=mode,
            version=__version__,
            writable=writable,
            capacity=self._foundation.room.capacity(),
            feed_id=self._standing.element.feed_id,
            head_seq=self._writer.head,
            oldest_seq=self.feed.oldest,
            scrub=self.scrub.status(),
            archive=self.archiving.status(),
        )

    def on_durable(self, listener: Callable[[], None]) -> None:
        """Call `listener` from the writer thread whenever the feed has grown."""
        self._listeners.append(listener)

    # --- inside -----------------------------------------------------------------------

    def _outcome(self, outcomes: SimpleQueue[Answer]) -> Answer:
        """Waits for the writer thread. (Tests without threads let the writer run here.)"""
        return outcomes.get()

    def _wake(self, _: int) -> None:
        for listener in self._listeners:
            listener()


def _keeper(base: Foundation, *, covered: int) -> Keeper:
    return Keeper(
        fs=base.fs,
        layout=base.layout,
        codec=base.codec,
        segments=base.segments,
        writer=base.writer,
        backend=base.backend,
        element=lambda: base.standing.element,
        covered=covered,
        interval_s=base.options.checkpoint_interval_s,
        unflushed_bytes_max=base.options.unflushed_bytes_max,
    )


def _large_files(base: Foundation) -> LargeFiles:
    return LargeFiles(
        layout=base.layout,
        backend=base.backend,
        claims=base.claims,
        room=base.room,
        reading=base.reading,
        standing=base.standing,
        writer=base.writer,
        admission=base.admission,
        submission=base.submission,
    )


def _contents(base: Foundation, restored: RestoredCopies, archive: Archive | None) -> Contents:
    return Contents(
        reading=base.reading,
        backend=base.backend,
        claims=base.claims,
        standing=base.standing,
        restored=restored,
        archive=archive,
    )


def _changes(base: Foundation, docket: Docket) -> Changes:
    return Changes(
        backend=base.backend,
        claims=base.claims,
        clock=base.clock,
        docket=docket,
        reading=base.reading,
        standing=base.standing,
        submission=base.submission,
        writer=base.writer,
    )
