"""New small files on their way in: record and content go into the log together."""

from collections.abc import Sequence
from queue import SimpleQueue
from typing import NamedTuple

from artstore.core.errors import ArtStoreError
from artstore.core.model.event import Cause, TraceId
from artstore.core.model.file import FileRecord
from artstore.storage.engine.admission import Admission
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.entries import Done, Entry, Outcome, Stored
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.submission import Submission
from artstore.storage.engine.writer import Writer


class NewSmallFile(NamedTuple):
    record: FileRecord
    content: bytes
    cause: Cause | None
    done: Done


class NewFiles:
    """Only `put_copy` blocks; the others look at memory, and ask the volume twice a second."""

    def __init__(
        self,
        layout: Layout,
        claims: Claims,
        writer: Writer,
        admission: Admission,
        submission: Submission,
    ) -> None:
        self._layout = layout
        self._claims = claims
        self._writer = writer
        self._admission = admission
        self._submission = submission

    def put(self, record: FileRecord, content: bytes, cause: Cause | None, done: Done) -> None:
        """Store a small file; `done` is called when it is durable.

        Raises:
            ModeForbids, NoRoom, Unavailable, InvalidMetadata: Nothing was done, and `done`
                is not called.
        """
        self._admission.check_new(len(content))
        entry = self._claimed(NewSmallFile(record, content, cause, done), self._submission.now_us())
        if entry is not None:
            self._submit([entry])

    def put_all(self, files: Sequence[NewSmallFile]) -> None:
        """As `put` for each, with one write and one flush as far as a group of the log can
        hold them. A refusal goes to the file's `done` too: each fails alone."""
        self._put(self._welcome(files), self._submission.now_us())

    def put_copy(self, record: FileRecord, content: bytes, trace: TraceId | None) -> Stored:
        """As `put`, and waits. The record may be of any revision, here as in
        `LargeFiles.finish`: a file that comes from another element keeps its own."""
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.put(record, content, Cause(trace), outcomes.put)
        return self._submission.answer(outcomes)

    def _welcome(self, files: Sequence[NewSmallFile]) -> Sequence[NewSmallFile]:
        """All of them, as a rule; if not, each is looked at alone."""
        try:
            self._admission.check_new(sum([len(file.content) for file in files]))
        except ArtStoreError:
            return list(filter(self._is_welcome, files))
        return files

    def _is_welcome(self, file: NewSmallFile) -> bool:
        try:
            self._admission.check_new(len(file.content))
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
