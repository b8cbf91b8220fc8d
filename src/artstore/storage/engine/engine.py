"""The element as its services see it. Everything here blocks; call it from worker threads,
except `put` and `info`, which only look at memory (and ask the volume twice a second)."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue
from typing import Final, NamedTuple, Self, TypeVar

import orjson

from artstore import __version__
from artstore.core.clock import Clock, SystemClock
from artstore.core.errors import (
    ArtStoreError,
    FileDeleted,
    FileExists,
    NoRoom,
    RevisionConflict,
    Unavailable,
)
from artstore.core.logging import get_logger
from artstore.core.metrics import ELEMENT_MODE, ELEMENT_WRITABLE
from artstore.core.model.element import ElementInfo, StorageMode
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import (
    Deletion,
    FileChange,
    FileRecord,
    Origin,
    check_attr_size,
)
from artstore.core.model.ids import ElementId, FileId
from artstore.storage.engine import identity, mode_rules, recovery, takeover
from artstore.storage.engine.backends.base import Backend, Incoming, StoreAway
from artstore.storage.engine.backends.local import LocalBackend
from artstore.storage.engine.capacity import THRESHOLDS, Room, Thresholds
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.feed import Feed, FeedPage
from artstore.storage.engine.fs import Fs, LocalFs, make_directories
from artstore.storage.engine.keeper import Keeper
from artstore.storage.engine.layout import Layout, extension_of
from artstore.storage.engine.log import Body, Log, LogFailed, LogFull
from artstore.storage.engine.open_uploads import OpenUploads
from artstore.storage.engine.placer import DirectPlacer, PlacerProcess
from artstore.storage.engine.reading import Content, Reading
from artstore.storage.engine.record import (
    NO_TRACE,
    NOTE_BYTES_MAX,
    Codec,
    RecordType,
    encode_checkpoint,
)
from artstore.storage.engine.refusals import ElementInUse, ElementRefused
from artstore.storage.engine.scrub.assembly import assemble
from artstore.storage.engine.segments import Segments
from artstore.storage.engine.writer import (
    Done,
    Entry,
    Note,
    Noted,
    Outcome,
    OutcomeUnknown,
    Stored,
    Writer,
)

SEGMENT_BYTES: Final = 32 << 20
Answer = TypeVar("Answer")


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
        opened: "_OpenRoot",
        *,
        backend: Backend,
    ) -> None:
        """Recovers. Use `open`."""
        self._fs = fs
        self._clock = clock
        self._layout = layout
        self._opened = opened
        self._element = opened.element
        self._mode_lock = threading.Lock()
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
        codec = Codec(self._element.log_id)
        found = self._open_log(options)
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
        covered = self._catch_up(codec, found)
        self._keeper = Keeper(
            fs=fs,
            layout=layout,
            codec=codec,
            segments=self._segments,
            writer=self._writer,
            backend=self._backend,
            element=lambda: self._element,
            covered=covered,
            interval_s=options.checkpoint_interval_s,
            unflushed_bytes_max=options.unflushed_bytes_max,
        )
        self.open_uploads = OpenUploads(fs, layout, self._room, clock, self._writer.fail)
        self._feed = Feed(fs, self._segments, codec, lambda: self._writer.head)
        self.scrub, self._repairs, self._docket = assemble(
            fs=fs,
            layout=layout,
            backend=self._backend,
            claims=self._claims,
            writer=self._writer,
            room=self._room,
            clock=clock,
            file=lambda: self._element,
            report=lambda detail: self.report(RecordType.FINDING, detail),
            interval_s=options.scrub_interval_s,
            rate_bytes_per_s=options.scrub_rate_bytes_per_s,
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
            with _OpenRoot.closed_on_failure(fs, layout, options, clock) as opened:
                if backend is None:
                    placer = PlacerProcess() if options.has_helper else DirectPlacer(fs)
                    backend = LocalBackend(fs, layout, placer, opened.volume)
                return cls(options, fs, clock, layout, opened, backend=backend)
        except (OSError, LogFull, LogFailed) as error:
            raise ElementRefused(f"{layout.root}: the volume cannot be used: {error}") from error

    def start(self) -> None:
        self._writer.start()
        try:
            self._tell_mode_change()
        except ArtStoreError as error:
            # No reason to serve nothing at all; the next start tries again.
            get_logger().error("change of mode is not told yet", cause=repr(error))
        self._keeper.start()
        self.scrub.start()

    def close(self) -> None:
        """Finish what waits, and leave a checkpoint: the next start has nothing to replay."""
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

    def check_new(self, size: int) -> None:
        """Refuse a file before its content is sent.

        Raises:
            ModeForbids, NoRoom, Unavailable: As the element stands now.
        """
        self._writer.check()
        mode_rules.check_create(self._element.mode)
        self._room.check(size)

    def put(self, record: FileRecord, content: bytes, cause: Cause | None, done: Done) -> None:
        """Store a small file; `done` is called when it is durable. Does not block.

        Raises:
            ModeForbids, NoRoom, Unavailable, InvalidMetadata: Nothing was done, and `done`
                is not called.
        """
        self.check_new(len(content))
        entry = self._entry(RecordType.CREATED, record, cause, done)
        entry.content = content
        self._layout.directory(record.file_id)
        self._claims.take_new(record.file_id)
        try:
            self._writer.submit(entry)
        except ArtStoreError:
            self._claims.release(record.file_id)
            raise

    def put_all(self, files: Iterable[NewSmallFile]) -> None:
        """As `put` for each, with one write and one flush as far as a group of the log can
        hold them. A refusal goes to the file's `done` too: each fails alone."""
        with self._writer.gathering():
            for file in files:
                try:
                    self.put(*file)
                except ArtStoreError as error:
                    file.done(error)

    def begin_upload(
        self, file_id: FileId, size: int | None, sha256: str | None, filename: str = ""
    ) -> Incoming | Stored:
        """Receive a large file; ends with `finish_upload` or `abort_upload`.

        Args:
            size, sha256: As far as the sender declares them.
            filename: What the record will say, if it is known already: a store without
                renaming then has the bytes in the right place from the start.

        Returns:
            `Stored`, if exactly this file is there already: its bytes are not needed.

        Raises:
            ModeForbids, NoRoom, Unavailable, FileExists, FileDeleted: It is not wanted.
        """
        self.check_new(size or 0)
        name = file_id + extension_of(filename)
        return self._begin(
            file_id,
            size,
            sha256,
            lambda: self._backend.begin_upload(file_id, name, size, self._room, self._writer.fail),
        )

    def adopt_upload(
        self, file_id: FileId, size: int, sha256: str, filename: str
    ) -> Incoming | Stored:
        """As `begin_upload`, for an upload of `open_uploads` that is whole."""
        # Its bytes have their room already.
        self.check_new(0)
        path, name = self._layout.open_upload(file_id), file_id + extension_of(filename)
        return self._begin(
            file_id,
            size,
            sha256,
            lambda: self._backend.adopt(
                path, file_id, name, sha256, room=self._room, fail=self._writer.fail
            ),
        )

    def _begin(
        self,
        file_id: FileId,
        size: int | None,
        sha256: str | None,
        begin: Callable[[], Incoming],
    ) -> Incoming | Stored:
        self._layout.directory(file_id)
        self._claims.take_new(file_id)
        try:
            stored = self._known(file_id, size, sha256)
            if stored is None:
                return begin()
        except ArtStoreError:
            self._claims.release(file_id)
            raise
        self._claims.release(file_id)
        return stored

    def finish_upload(self, upload: Incoming, record: FileRecord, cause: Cause | None) -> Stored:
        """Give the received file its name. `upload.finish` was called.

        Raises:
            ModeForbids, Unavailable, FileExists, FileDeleted, InvalidMetadata.
        """
        is_needed = False
        try:
            mode_rules.check_create(self._element.mode)
            self._backend.prepare(record, upload.name)
            stored = self._write(RecordType.CREATED, record, cause, present_name=upload.name)
            is_needed = stored.created
        except OutcomeUnknown:
            # It is logged, perhaps: whoever puts it in place later needs the bytes.
            is_needed = True
            raise
        finally:
            if self._writer.fault is None and not is_needed:
                upload.abort()
            self._claims.release(upload.file_id)
        return stored

    def abort_upload(self, upload: Incoming) -> None:
        upload.abort()
        self._claims.release(upload.file_id)

    def change(self, file_id: FileId, change: FileChange, trace: TraceId | None) -> Stored:
        """Raises:
        UnknownFile, FileDeleted, RevisionConflict, ModeForbids, InvalidMetadata, Unavailable.
        """
        self._writer.check()
        mode_rules.check_change(self._element.mode)
        with self._claims.held(file_id):
            current = self._reading.record(file_id)
            if current.deleted is not None:
                raise FileDeleted("this file was deleted")
            expected = change.expected_revision
            if expected is not None and expected != current.revision:
                raise RevisionConflict(
                    f"the record has revision {current.revision}", revision=current.revision
                )
            record = _changed(current, change)
            former = self._moved_from(current, record)
            return self._write(RecordType.UPDATED, record, Cause(trace), present_name=former)

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
            mode_rules.check_delete(self._element.mode, current, now)
            tombstone = current.model_copy(
                update={
                    "revision": current.revision + 1,
                    "deleted": Deletion(at=now, by=by, reason=reason),
                }
            )
            return self._write(RecordType.DELETED, tombstone, Cause(trace))

    def put_copy(self, record: FileRecord, content: bytes, trace: TraceId | None) -> Stored:
        """As `put`, and waits. The record may be of any revision, here as in
        `finish_upload`: a file that comes from another element keeps its own."""
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.put(record, content, Cause(trace), outcomes.put)
        return self._answer(outcomes)

    def take_over(self, record: FileRecord, trace: TraceId | None) -> Stored:
        """Bring a file into a later state that another element has, revision and all. A
        tombstone takes the content away, and stays too where there is no content.

        Raises:
            Unavailable, InvalidMetadata, and the refusals of `takeover.next_step`.
        """
        self._writer.check()
        with self._claims.held(record.file_id):
            current = self._reading.find(record.file_id)
            step = takeover.next_step(current, record, self._element.mode, self._clock.now())
            if step is None:
                return Stored(record, record.to_json(), created=False)
            former = self._moved_from(current, record) if current is not None else None
            return self._write(step, record, Cause(trace), present_name=former)

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

    def set_mode(
        self, mode: StorageMode, *, by: str, reason: str, confirmed: bool, trace: TraceId | None
    ) -> None:
        """Durable on return, and told in the feed. Requests that were accepted before end in
        the old mode. To ask for the present mode changes nothing.

        Raises:
            ModeForbids, ConfirmationRequired: See `mode_rules.check_mode_change`.
            NoRoom: It could not be told, so the mode is the old one.
            Unavailable: The volume failed; the mode may be either after a restart.
        """
        with self._mode_lock:
            former = self._element
            if mode is former.mode:
                return
            self._writer.check()
            mode_rules.check_mode_change(former.mode, mode, confirmed=confirmed)
            change = identity.ModeChange(
                before=former.mode, after=mode, by=by, reason=reason, trace_id=trace
            )
            self._keep(former.model_copy(update={"mode": mode, "untold": change}))
            try:
                self._tell_mode_change()
            except NoRoom:
                self._keep(former)
                raise

    def _keep(self, element: identity.ElementFile) -> None:
        try:
            identity.store(self._fs, self._layout, element)
        except OSError as error:
            self._writer.fail("element.json cannot be written", error)
            raise Unavailable("the volume of the storage element failed") from error
        self._element = element

    def _tell_mode_change(self) -> None:
        """A crash before it is told leaves it in element.json: it is told by the next start."""
        change = self._element.untold
        if change is not None:
            self.report(RecordType.MODE, change.detail(), change.trace_id)
            self._keep(self._element.model_copy(update={"untold": None}))

    def report(
        self, kind: RecordType, detail: Mapping[str, object], trace: TraceId | None = None
    ) -> int:
        """Tell everyone who follows the feed. Returns the note's sequence; durable then.

        Args:
            kind: `FINDING` or `MODE`.
            detail: A JSON object of at most `NOTE_BYTES_MAX`.

        Raises:
            NoRoom, Unavailable: Nothing was told, or that is not known.
        """
        detail_json = orjson.dumps(detail) + b"\n"
        if len(detail_json) > NOTE_BYTES_MAX:
            raise ValueError(f"a note of {len(detail_json)} bytes is too long")
        outcomes: SimpleQueue[Noted] = SimpleQueue()
        at_us = _microseconds(self._clock.now())
        self._writer.submit(Note(kind, detail_json, outcomes.put, at_us, _trace_bytes(trace)))
        outcome = self._outcome(outcomes)
        if isinstance(outcome, ArtStoreError):
            raise outcome
        return outcome

    # --- reading ----------------------------------------------------------------------

    def record(self, file_id: FileId) -> FileRecord:
        return self._reading.record(file_id)

    def open_content(self, file_id: FileId) -> Content:
        return self._reading.open_content(file_id)

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
    def head(self) -> int:
        return self._writer.head

    @property
    def feed_id(self) -> str:
        return self._element.feed_id

    def info(self) -> ElementInfo:
        mode = self._element.mode
        writable = mode.accepts_files and self._writer.fault is None and self._writer.away is None
        ELEMENT_WRITABLE.set(writable)
        for possible in StorageMode:
            ELEMENT_MODE.labels(possible.value).set(possible is mode)
        return ElementInfo(
            element_id=self._element.element_id,
            mode=mode,
            version=__version__,
            writable=writable,
            capacity=self._room.capacity(),
            feed_id=self._element.feed_id,
            head_seq=self._writer.head,
            oldest_seq=self._feed.oldest,
            scrub=self.scrub.status(),
        )

    def on_durable(self, listener: Callable[[], None]) -> None:
        """Call `listener` from the writer thread whenever the feed has grown."""
        self._listeners.append(listener)

    # --- inside -----------------------------------------------------------------------

    def _moved_from(self, current: FileRecord, record: FileRecord) -> str | None:
        """The name the content has until `record` holds, if that gives it another."""
        former = _content_name(current)
        if former == _content_name(record):
            return None
        if record.deleted is None:
            self._backend.prepare(record, former)
        return former

    def _open_log(self, options: EngineOptions) -> recovery.FoundLog:
        fs, layout = self._fs, self._layout
        found = recovery.read_log(fs, layout, self._element.log_id)
        self._segments = Segments(fs, layout, options.segment_bytes, found.history, found.raw)
        self._log = Log(
            fs,
            self._segments,
            self._element.log_id,
            segment_bytes=options.segment_bytes,
            next_sequence=found.next_sequence,
            crc=found.crc,
        )
        return found

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
        element = self._backend.connect(self._element, is_new=self._is_new)
        if element != self._element:
            identity.store(self._fs, self._layout, element)
            self._element = element

    def _checkpoint(self, covers: int) -> None:
        """While no writer runs."""
        self._backend.settle(self._element)
        self._log.append([Body(RecordType.CHECKPOINT, 0, encode_checkpoint(covers))])

    def _existing(self, wanted: FileRecord) -> Stored | None:
        return self._known(wanted.file_id, wanted.size, wanted.sha256)

    def _known(self, file_id: FileId, size: int | None, sha256: str | None) -> Stored | None:
        """The file of this id, if it is there and is the same as far as the caller knows.

        Raises:
            FileExists, FileDeleted, FileDamaged: It is there and is not.
        """
        found = self._reading.find(file_id)
        if found is None:
            return None
        if found.deleted is not None:
            raise FileDeleted("a file with this id was deleted")
        if size not in (None, found.size) or sha256 not in (None, found.sha256):
            raise FileExists("this file id is taken by other content")
        if sha256 is None:
            return None
        return Stored(found, found.to_json(), created=False)

    def _entry(
        self, record_type: RecordType, record: FileRecord, cause: Cause | None, done: Done
    ) -> Entry:
        return Entry(
            record_type,
            record,
            check_attr_size(record),
            done,
            at_us=_microseconds(self._clock.now()),
            trace=_trace_bytes(cause.trace_id if cause else None),
            origin_json=_origin_json(cause.origin if cause else None),
        )

    def _write(
        self,
        record_type: RecordType,
        record: FileRecord,
        cause: Cause | None,
        present_name: str | None = None,
    ) -> Stored:
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        entry = self._entry(record_type, record, cause, outcomes.put)
        entry.present_name = present_name
        self._writer.submit(entry)
        stored = self._answer(outcomes)
        if record_type is RecordType.DELETED:
            self._docket.close_deleted(record.file_id)
        return stored

    def _answer(self, outcomes: SimpleQueue[Outcome]) -> Stored:
        outcome = self._outcome(outcomes)
        if isinstance(outcome, ArtStoreError):
            raise outcome
        return outcome

    def _outcome(self, outcomes: SimpleQueue[Answer]) -> Answer:
        """Waits for the writer thread. (Tests without threads let the writer run here.)"""
        return outcomes.get()

    def _wake(self, _: int) -> None:
        for listener in self._listeners:
            listener()


class _OpenRoot(NamedTuple):
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


def _changed(current: FileRecord, change: FileChange) -> FileRecord:
    fields = change.model_dump(exclude={"expected_revision"}, exclude_none=True)
    return current.model_copy(update={**fields, "revision": current.revision + 1})


def _content_name(record: FileRecord) -> str:
    return record.file_id + extension_of(record.original_filename)


def _trace_bytes(trace: TraceId | None) -> bytes:
    return bytes.fromhex(trace) if trace else NO_TRACE


def _origin_json(origin: Origin | None) -> bytes:
    return orjson.dumps(origin.__dict__) + b"\n" if origin is not None else b""


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
