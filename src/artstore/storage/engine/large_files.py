"""Large files on their way in: received before they are logged, named afterwards."""

from collections.abc import Callable

from artstore.core.errors import ArtStoreError
from artstore.core.model.event import Cause
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine import mode_rules
from artstore.storage.engine.admission import Admission
from artstore.storage.engine.backends.base import Backend, Incoming
from artstore.storage.engine.capacity import Room
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.entries import OutcomeUnknown, Stored
from artstore.storage.engine.layout import Layout, extension_of
from artstore.storage.engine.modes import Standing
from artstore.storage.engine.reading import Reading
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.submission import Submission
from artstore.storage.engine.writer import Writer


class LargeFiles:
    def __init__(
        self,
        *,
        layout: Layout,
        backend: Backend,
        claims: Claims,
        room: Room,
        reading: Reading,
        standing: Standing,
        writer: Writer,
        admission: Admission,
        submission: Submission,
    ) -> None:
        self._layout = layout
        self._backend = backend
        self._claims = claims
        self._room = room
        self._reading = reading
        self._standing = standing
        self._writer = writer
        self._admission = admission
        self._submission = submission

    def begin(
        self, file_id: FileId, size: int | None, sha256: str | None, filename: str = ""
    ) -> Incoming | Stored:
        """Receive a large file; ends with `finish` or `abort`.

        Args:
            size, sha256: As far as the sender declares them.
            filename: What the record will say, if it is known already: a store without
                renaming then has the bytes in the right place from the start.

        Returns:
            `Stored`, if exactly this file is there already: its bytes are not needed.

        Raises:
            ModeForbids, NoRoom, Unavailable, FileExists, FileDeleted: It is not wanted.
        """
        self._admission.check_new(size or 0)
        name = file_id + extension_of(filename)
        return self._begin(
            file_id,
            size,
            sha256,
            lambda: self._backend.begin_upload(file_id, name, size, self._room, self._writer.fail),
        )

    def adopt(self, file_id: FileId, size: int, sha256: str, filename: str) -> Incoming | Stored:
        """As `begin`, for an upload of `open_uploads` that is whole."""
        # Its bytes have their room already.
        self._admission.check_new(0)
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
        self._claims.take_new_in_turn(file_id)
        try:
            stored = self._reading.known(file_id, size, sha256)
            if stored is None:
                return begin()
        except ArtStoreError:
            self._claims.release(file_id)
            raise
        self._claims.release(file_id)
        return stored

    def finish(self, upload: Incoming, record: FileRecord, cause: Cause | None) -> Stored:
        """Give the received file its name. `upload.finish` was called.

        Raises:
            ModeForbids, Unavailable, FileExists, FileDeleted, InvalidMetadata.
        """
        is_needed = False
        try:
            mode_rules.check_create(self._standing.mode)
            self._backend.prepare(record, upload.name)
            stored = self._submission.write(
                RecordType.CREATED, record, cause, present_name=upload.name
            )
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

    def abort(self, upload: Incoming) -> None:
        upload.abort()
        self._claims.release(upload.file_id)
