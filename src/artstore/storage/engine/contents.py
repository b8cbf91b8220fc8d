"""Where the bytes of a file come from: the element's own place, an archive, a restored copy."""

from artstore.core.errors import FileArchived, FileDamaged, FileDeleted, UnknownFile
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine.archive.base import Archive
from artstore.storage.engine.backends.base import Backend, OpenContent
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.modes import Standing
from artstore.storage.engine.reading import Content, Reading
from artstore.storage.engine.restored import RestoredCopies


class Contents:
    """Args:
    archive: `None`: in mode `ar` too, contents lie where they always did.
    """

    def __init__(
        self,
        *,
        reading: Reading,
        backend: Backend,
        claims: Claims,
        standing: Standing,
        restored: RestoredCopies,
        archive: Archive | None,
    ) -> None:
        self._reading = reading
        self._backend = backend
        self._claims = claims
        self._standing = standing
        self._restored = restored
        self._archive = archive

    def open(self, file_id: FileId, *, from_archive: bool = False) -> Content:
        """
        Args:
            from_archive: Asked by whoever restores or copies, and not by a reader.

        Raises:
            UnknownFile, FileDeleted, FileDamaged: It is not there, or not whole.
            FileArchived: In mode `ar`, and not asked `from_archive`.
            ArchiveAway: Its archive cannot give it now.
        """
        if self._standing.mode is StorageMode.AR:
            return self._open_archived(file_id, from_archive=from_archive)
        try:
            return self._open_online(file_id)
        except UnknownFile:
            return self._restored.open(file_id)

    def _open_online(self, file_id: FileId) -> Content:
        record = self._reading.record(file_id)
        opened = self._find_online(record)
        if opened is None:
            # A change may be half-way: the content has its new name or is gone already,
            # and the record is about to say so.
            self._claims.wait_until_free(file_id)
            record = self._reading.record(file_id)
            opened = self._find_online(record)
        if opened is None:
            raise FileDamaged("the content of this file is missing")
        if opened.size != record.size:
            opened.close()
            raise FileDamaged("the stored content does not have its length")
        return Content(opened, record)

    def _find_online(self, record: FileRecord) -> OpenContent | None:
        _check_is_there(record)
        try:
            return self._backend.open(record)
        except FileNotFoundError:
            return None

    def _open_archived(self, file_id: FileId, *, from_archive: bool) -> Content:
        record = self._reading.record(file_id)
        _check_is_there(record)
        if not from_archive:
            # Wherever the bytes are just now: what a reader sees follows from the mode alone.
            raise FileArchived(
                "the content of this file lies in the archive; ask for a restore",
                restore=f"/api/v1/files/{file_id}/restore",
            )
        opened = self._find_archived(record)
        if opened.size != record.size:
            opened.close()
            raise FileDamaged("the archived content does not have its length")
        return Content(opened, record)

    def _find_archived(self, record: FileRecord) -> OpenContent:
        """Not all of it may have been moved yet."""
        try:
            return self._backend.open(record)
        except FileNotFoundError:
            if self._archive is None:
                raise FileDamaged("the content of this file is missing") from None
        try:
            return self._archive.open(record)
        except FileNotFoundError:
            raise FileDamaged("the content of this file is missing in the archive") from None


def _check_is_there(record: FileRecord) -> None:
    if record.deleted is not None:
        raise FileDeleted("this file was deleted", deleted_at=record.deleted.at.isoformat())
