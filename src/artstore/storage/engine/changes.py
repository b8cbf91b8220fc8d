"""Changes of files that are stored: a new state of the record, or the end of the file."""

from collections.abc import Callable

from artstore.core.clock import Clock
from artstore.core.errors import FileDeleted, RevisionConflict
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import Deletion, FileChange, FileRecord, Scan
from artstore.core.model.ids import FileId
from artstore.storage.engine import mode_rules, takeover
from artstore.storage.engine.backends.base import Backend
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.entries import Stored
from artstore.storage.engine.layout import extension_of
from artstore.storage.engine.modes import Standing
from artstore.storage.engine.reading import Reading
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.scrub.docket import Docket
from artstore.storage.engine.submission import Submission
from artstore.storage.engine.writer import Writer


class Changes:
    """Each is durable and in place on return. The file's claim is held from the look at what
    is there until then, so changes of one file happen one after another."""

    def __init__(
        self,
        *,
        backend: Backend,
        claims: Claims,
        clock: Clock,
        docket: Docket,
        reading: Reading,
        standing: Standing,
        submission: Submission,
        writer: Writer,
    ) -> None:
        self._backend = backend
        self._claims = claims
        self._clock = clock
        self._docket = docket
        self._reading = reading
        self._standing = standing
        self._submission = submission
        self._writer = writer

    def change(self, file_id: FileId, change: FileChange, trace: TraceId | None) -> Stored:
        """Raises:
        UnknownFile, FileDeleted, RevisionConflict, ModeForbids, InvalidMetadata, Unavailable.
        """
        mode_rules.check_change(self._standing.mode)
        return self._revise(file_id, lambda current: _changed(current, change), trace)

    def note_scan(self, file_id: FileId, scan: Scan, trace: TraceId | None) -> Stored:
        """What a scan found, also where records do not change any more: an infected file must
        not be handed out because it is old.

        Raises:
            UnknownFile, FileDeleted, InvalidMetadata, Unavailable.
        """
        return self._revise(file_id, lambda current: _revised(current, scan=scan), trace)

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
            tombstone = _revised(current, deleted=Deletion(at=now, by=by, reason=reason))
            return self._end(self._submission.write(RecordType.DELETED, tombstone, Cause(trace)))

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

    def _moved_from(self, current: FileRecord, record: FileRecord) -> str | None:
        """The name the content has until `record` holds, if that gives it another."""
        former = _content_name(current)
        if former == _content_name(record):
            return None
        if record.deleted is None:
            self._backend.prepare(record, former)
        return former

    def _end(self, tombstone: Stored) -> Stored:
        """What was found damaged of the file is settled with it."""
        self._docket.close_deleted(tombstone.record.file_id)
        return tombstone


def _changed(current: FileRecord, change: FileChange) -> FileRecord:
    expected = change.expected_revision
    if expected is not None and expected != current.revision:
        raise RevisionConflict(
            f"the record has revision {current.revision}", revision=current.revision
        )
    return _revised(current, **change.model_dump(exclude={"expected_revision"}, exclude_none=True))


def _revised(current: FileRecord, **fields: object) -> FileRecord:
    return current.model_copy(update={**fields, "revision": current.revision + 1})


def _content_name(record: FileRecord) -> str:
    return record.file_id + extension_of(record.original_filename)
