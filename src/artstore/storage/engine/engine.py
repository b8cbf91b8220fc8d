"""The element as its services see it. Everything here blocks; call it from worker threads,
except `put` and `info`, which only look at memory (and ask the volume twice a second)."""

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import NamedTuple, Self

from artstore import __version__
from artstore.core.clock import Clock, SystemClock
from artstore.core.errors import (
    ArtStoreError,
    FileDeleted,
    RevisionConflict,
)
from artstore.core.logging import get_logger
from artstore.core.metrics import ELEMENT_MODE, ELEMENT_WRITABLE
from artstore.core.model.element import ElementInfo, StorageMode
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import Deletion, FileChange, FileRecord, Scan
from artstore.core.model.ids import FileId
from artstore.storage.engine import mode_rules, recovery, takeover
from artstore.storage.engine.admission import Admission
from artstore.storage.engine.archive.assembly import ArchiveParts
from artstore.storage.engine.backends.base import Backend, Incoming, StoreAway
from artstore.storage.engine.backends.local import LocalBackend
from artstore.storage.engine.capacity import Room
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.contents import Contents
from artstore.storage.engine.entries import (
    Done,
    Entry,
    Outcome,
    Stored,
)
from artstore.storage.engine.feed import Feed, FeedPage
from artstore.storage.engine.fs import Fs, LocalFs
from artstore.storage.engine.keeper import Keeper
from artstore.storage.engine.large_files import LargeFiles
from artstore.storage.engine.layout import Layout, extension_of
from artstore.storage.engine.log import Body, LogFailed, LogFull
from artstore.storage.engine.modes import Modes, Standing
from artstore.storage.engine.open_uploads import OpenUploads
from artstore.storage.engine.opening import EngineOptions, OpenRoot, open_log
from artstore.storage.engine.placer import DirectPlacer, PlacerProcess
from artstore.storage.engine.reading import Content, Reading
from artstore.storage.engine.record import (
    Codec,
    RecordType,
    encode_checkpoint,
)
from artstore.storage.engine.refusals import ElementRefused
from artstore.storage.engine.restored import RestoredCopies
from artstore.storage.engine.scrub.assembly import assemble
from artstore.storage.engine.submission import Answer, Submission
from artstore.storage.engine.writer import Writer


class NewSmallFile(NamedTuple):
    """What `Engine.put` takes."""

    record: FileRecord
    content: bytes
    cause: Cause | None
    done: Done


class Engine:
    """One element. `open`, `start`, and at the end `close`."""

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
        self._fs = fs
        self._clock = clock
        self._layout = layout
        self._opened = opened
        self._standing = Standing(fs, layout, opened.element)
        self._claims = Claims()
        self._backend = backend
        self._room = Room(
            fs,
            options.root,
            options.reserved_bytes,
            clock,
            thresholds=options.thresholds,
            store_volume=backend.volume,
        )
        self._reading = Reading(self._backend, self._claims)
        self._listeners: list[Callable[[], None]] = []
        log_id = opened.element.log_id
        codec = Codec(log_id)
        found = recovery.read_log(fs, layout, log_id)
        self._segments, self._log = open_log(fs, layout, log_id, found, options.segment_bytes)
        self._is_new = found.next_sequence == 1
        self._writer = Writer(
            log=self._log,
            backend=self._backend,
            segments=self._segments,
            claims=self._claims,
            connect=self._connect,
            existing=self._existing,
            on_durable=self._wake,
        )
        self._submission = Submission(self._writer, clock, self._outcome)
        self.admission = Admission(self._writer, self._standing, self._room)
        self.large_files = LargeFiles(
            layout=layout,
            backend=backend,
            claims=self._claims,
            room=self._room,
            reading=self._reading,
            standing=self._standing,
            writer=self._writer,
            admission=self.admission,
            submission=self._submission,
        )
        self.modes = Modes(self._standing, self._writer, self._submission)
        covered = self._catch_up(codec, found)
        self._keeper = Keeper(
            fs=fs,
            layout=layout,
            codec=codec,
            segments=self._segments,
            writer=self._writer,
            backend=self._backend,
            element=lambda: self._standing.element,
            covered=covered,
            interval_s=options.checkpoint_interval_s,
            unflushed_bytes_max=options.unflushed_bytes_max,
        )
        self.open_uploads = OpenUploads(fs, layout, self._room, clock, self._writer.fail)
        self._feed = Feed(fs, self._segments, codec, lambda: self._writer.head)
        self.restored = RestoredCopies(fs, layout, self._room, clock, self._writer.fail)
        self.archiving = ArchiveParts.assemble(
            options,
            fs=fs,
            layout=layout,
            backend=self._backend,
            claims=self._claims,
            standing=self._standing,
            writer=self._writer,
            clock=clock,
        )
        self._contents = Contents(
            self._reading, self._backend, self._standing, self.restored, self.archiving.archive
        )
        self.scrub, self._repairs, self._docket, self.damage_report = assemble(
            fs=fs,
            layout=layout,
            backend=self._backend,
            claims=self._claims,
            writer=self._writer,
            room=self._room,
            clock=clock,
            file=lambda: self._standing.element,
            report=lambda detail: self._submission.note(RecordType.FINDING, detail),
            interval_s=options.scrub_interval_s,
            rate_bytes_per_s=options.scrub_rate_bytes_per_s,
            archiving=self.archiving,
        )

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
        if self._writer.fault is None and self._keeper.is_due:
            try:
                self._checkpoint(self._writer.changed_head)
            except StoreAway as away:
                get_logger().warning("no checkpoint at the end", cause=away.detail)
            except (OSError, LogFull, LogFailed) as error:
                self._writer.fail("no checkpoint at the end", error)
        self._log.close()
        self._backend.close()
        self._opened.close(self._fs)

    # --- writing ----------------------------------------------------------------------

    def put(self, record: FileRecord, content: bytes, cause: Cause | None, done: Done) -> None:
        """Store a small file; `done` is called when it is durable. Does not block.

        Raises:
            ModeForbids, NoRoom, Unavailable, InvalidMetadata: Nothing was done, and `done`
                is not called.
        """
        self.admission.check_new(len(content))
        entry = self._claimed(NewSmallFile(record, content, cause, done), self._submission.now_us())
        if entry is not None:
            self._submit([entry])

    def put_all(self, files: Sequence[NewSmallFile]) -> None:
        """As `put` for each, with one write and one flush as far as a group of the log can
        hold them. A refusal goes to the file's `done` too: each fails alone."""
        self._put(self._welcome(files), self._submission.now_us())

    def _welcome(self, files: Sequence[NewSmallFile]) -> Sequence[NewSmallFile]:
        """All of them, as a rule; if not, each is looked at alone."""
        try:
            self.admission.check_new(sum([len(file.content) for file in files]))
        except ArtStoreError:
            return list(filter(self._is_welcome, files))
        return files

    def _is_welcome(self, file: NewSmallFile) -> bool:
        try:
            self.admission.check_new(len(file.content))
        except ArtStoreError as error:
            file.done(error)
            return False
        return True

    def _put(self, files: Sequence[NewSmallFile], at_us: int) -> None:
        entries: list[Entry] = []
        for file in files:
            try:
                entry = self._claimed(file, at_us)
            except ArtStoreError as error:
                file.done(error)
                continue
            if entry is not None:
                entries.append(entry)
        try:
            self._submit(entries)
        except ArtStoreError as error:
            for entry in entries:
                entry.answer(error)

    def _claimed(self, file: NewSmallFile, at_us: int) -> Entry | None:
        """`None`: it was acknowledged before, and comes again when it is in its place."""
        file_id = file.record.file_id
        self._layout.directory(file_id)
        entry = self._submission.entry(
            RecordType.CREATED,
            file.record,
            file.cause,
            file.done,
            at_us=at_us,
            content=file.content,
        )
        is_new = self._claims.take_new(file_id, lambda: self._put([file], at_us))
        return entry if is_new else None

    def _submit(self, entries: Sequence[Entry]) -> None:
        try:
            self._writer.submit(*entries)
        except ArtStoreError:
            self._claims.release_all([entry.record.file_id for entry in entries])
            raise

    def change(self, file_id: FileId, change: FileChange, trace: TraceId | None) -> Stored:
        """Raises:
        UnknownFile, FileDeleted, RevisionConflict, ModeForbids, InvalidMetadata, Unavailable.
        """
        mode_rules.check_change(self._standing.mode)

        def changed(current: FileRecord) -> FileRecord:
            expected = change.expected_revision
            if expected is not None and expected != current.revision:
                raise RevisionConflict(
                    f"the record has revision {current.revision}", revision=current.revision
                )
            return _changed(current, change)

        return self._revise(file_id, changed, trace)

    def note_scan(self, file_id: FileId, scan: Scan, trace: TraceId | None) -> Stored:
        """What a scan found, also where records do not change any more: an infected file must
        not be handed out because it is old.

        Raises:
            UnknownFile, FileDeleted, InvalidMetadata, Unavailable.
        """
        return self._revise(
            file_id,
            lambda current: current.model_copy(
                update={"scan": scan, "revision": current.revision + 1}
            ),
            trace,
        )

    def _revise(
        self,
        file_id: FileId,
        revised: Callable[[FileRecord], FileRecord],
        trace: TraceId | None,
    ) -> Stored:
        self._writer.check()
        with self._claims.held(file_id):
            current = self._reading.record(file_id)
            if current.deleted is not None:
                raise FileDeleted("this file was deleted")
            record = revised(current)
            former = self._moved_from(current, record)
            return self._submission.write(
                RecordType.UPDATED, record, Cause(trace), present_name=former
            )

    def delete(self, file_id: FileId, *, by: str, reason: str, trace: TraceId | None) -> Stored:
        """Remove the content; a tombstone stays. Again is the same as once.

        Raises:
            UnknownFile, ModeForbids, RetentionForbids, Unavailable.
        """
        self._writer.check()
        with self._claims.held(file_id):
            current = self._reading.record(file_id)
            if current.deleted is not None:
                return Stored(current, current.to_json(), created=False)
            now = self._clock.now()
            mode_rules.check_delete(self._standing.mode, current, now)
            tombstone = current.model_copy(
                update={
                    "revision": current.revision + 1,
                    "deleted": Deletion(at=now, by=by, reason=reason),
                }
            )
            return self._end(self._submission.write(RecordType.DELETED, tombstone, Cause(trace)))

    def put_copy(self, record: FileRecord, content: bytes, trace: TraceId | None) -> Stored:
        """As `put`, and waits. The record may be of any revision, here as in
        `finish_upload`: a file that comes from another element keeps its own."""
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.put(record, content, Cause(trace), outcomes.put)
        return self._submission.answer(outcomes)

    def take_over(self, record: FileRecord, trace: TraceId | None) -> Stored:
        """Bring a file into a later state that another element has, revision and all. A
        tombstone takes the content away, and stays too where there is no content.

        Raises:
            Unavailable, InvalidMetadata, and the refusals of `takeover.next_step`.
        """
        self._writer.check()
        with self._claims.held(record.file_id):
            current = self._reading.find(record.file_id)
            step = takeover.next_step(current, record, self._standing.mode, self._clock.now())
            if step is None:
                return Stored(record, record.to_json(), created=False)
            former = self._moved_from(current, record) if current is not None else None
            stored = self._submission.write(step, record, Cause(trace), present_name=former)
            return self._end(stored) if step is RecordType.DELETED else stored

    def begin_restored(self, record: FileRecord) -> Incoming:
        """Receive a copy of an archived file, to be read for a while; ends with
        `restored.finish`, or with `abort` of what is returned.

        Raises:
            ModeForbids, NoRoom, Unavailable.
        """
        self._writer.check()
        mode_rules.check_restored(self._standing.mode)
        return self.restored.begin(record)

    def begin_repair(self, file_id: FileId, record: FileRecord | None = None) -> Incoming:
        """Receive the content of a damaged file again, from another copy; ends with
        `finish_repair`, or with `abort` of what is returned. Allowed in every mode.

        Args:
            record: The whole record of the other copy; needed only where that here is
                damaged or lost, and otherwise without effect.

        Raises:
            FileDamaged: The record here is not whole, and none was given.
            FileDeleted, NoRoom, Unavailable.
        """
        return self._repairs.begin(file_id, record)

    def finish_repair(self, incoming: Incoming, record: FileRecord | None = None) -> FileRecord:
        """Put the received content in place of the damaged one, which is kept in the
        quarantine. Durable, and told in the log, on return. A file that is whole already
        stays as it is.

        Raises:
            SizeMismatch, DigestMismatch: This copy is not the file; nothing was changed.
            FileDamaged, FileDeleted, Unavailable.
        """
        return self._repairs.finish(incoming, record)

    # --- reading ----------------------------------------------------------------------

    def record(self, file_id: FileId) -> FileRecord:
        return self._reading.record(file_id)

    def open_content(self, file_id: FileId, *, from_archive: bool = False) -> Content:
        """See `Contents.open`."""
        return self._contents.open(file_id, from_archive=from_archive)

    def read_whole(self, content: Content) -> bytes:
        """Of a small file. Raises `FileDamaged` if it is not what was stored."""
        return self._reading.small_content(content)

    def files(self, after: FileId | None, limit: int) -> list[bytes]:
        return self._reading.files(after, limit)

    def changes(self, after: int, limit: int) -> FeedPage:
        return self._feed.changes(after, limit)

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
            capacity=self._room.capacity(),
            feed_id=self._standing.element.feed_id,
            head_seq=self._writer.head,
            oldest_seq=self._feed.oldest,
            scrub=self.scrub.status(),
            archive=self.archiving.status(),
        )

    def on_durable(self, listener: Callable[[], None]) -> None:
        """Call `listener` from the writer thread whenever the feed has grown."""
        self._listeners.append(listener)

    # --- inside -----------------------------------------------------------------------

    def _end(self, tombstone: Stored) -> Stored:
        """What was found damaged of the file is settled with it."""
        self._docket.close_deleted(tombstone.record.file_id)
        return tombstone

    def _moved_from(self, current: FileRecord, record: FileRecord) -> str | None:
        """The name the content has until `record` holds, if that gives it another."""
        former = _content_name(current)
        if former == _content_name(record):
            return None
        if record.deleted is None:
            self._backend.prepare(record, former)
        return former

    def _catch_up(self, codec: Codec, found: recovery.FoundLog) -> int:
        """Returns up to where a checkpoint reaches afterwards."""

        def replay() -> int:
            return recovery.replay(self._fs, codec, found, self._backend)

        covered = found.covered
        try:
            self._connect()
            replayed = replay()
            if replayed:
                get_logger().info("log replayed", changes=replayed)
                covered = found.next_sequence - 1
                self._checkpoint(covered)
                self._backend.drop_staged(covered)
        except StoreAway as away:
            self._writer.leave(away, replay)
            covered = found.covered
        recovery.clear_staging(self._fs, self._layout)
        return covered

    def _connect(self) -> None:
        self._standing.connect(self._backend, is_new=self._is_new)

    def _checkpoint(self, covers: int) -> None:
        """While no writer runs."""
        self._backend.settle(self._standing.element)
        self._log.append([Body(RecordType.CHECKPOINT, 0, (encode_checkpoint(covers),))])

    def _existing(self, wanted: FileRecord) -> Stored | None:
        return self._reading.known(wanted.file_id, wanted.size, wanted.sha256)

    def _outcome(self, outcomes: SimpleQueue[Answer]) -> Answer:
        """Waits for the writer thread. (Tests without threads let the writer run here.)"""
        return outcomes.get()

    def _wake(self, _: int) -> None:
        for listener in self._listeners:
            listener()


def _changed(current: FileRecord, change: FileChange) -> FileRecord:
    fields = change.model_dump(exclude={"expected_revision"}, exclude_none=True)
    return current.model_copy(update={**fields, "revision": current.revision + 1})


def _content_name(record: FileRecord) -> str:
    return record.file_id + extension_of(record.original_filename)
