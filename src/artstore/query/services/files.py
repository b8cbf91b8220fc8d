"""Where a file is, and what is known of it."""

from collections.abc import Container
from dataclasses import dataclass

from artstore.core.errors import FileDeleted, FileQuarantined, ForeignFile, UnknownFile
from artstore.core.model.collection import FileCopy
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import ElementId, FileId
from artstore.query.repository.catalogue import Catalogue
from artstore.query.services.elements import Elements


@dataclass(frozen=True, slots=True)
class Located:
    """`raw` holds the bytes of the attr.json, to be passed on as they are."""

    raw: bytes
    revision: int
    element_id: ElementId

    @property
    def record(self) -> FileRecord:
        return FileRecord.from_json(self.raw)


def check_quarantine(record: FileRecord) -> None:
    """Raises `FileQuarantined`: its bytes are not handed out, to nobody."""
    if record.scan is not None and record.scan.quarantined:
        raise FileQuarantined(
            "the file is in quarantine until a scan finds it clean",
            verdict=record.scan.verdict,
            reason=record.scan.reason,
        )


class Files:
    def __init__(self, catalogue: Catalogue, elements: Elements) -> None:
        self._catalogue = catalogue
        self._elements = elements

    async def locate(self, file_id: FileId, collections: Container[str] | None) -> Located:
        """The file, also between its upload and its entry in the catalogue.

        `collections` are those that the caller may see; `None`: all. A file of another one does
        not exist for the caller, deleted or not.

        The catalogue may be a moment behind, or hours if the admin module was away. So
        that it lacks a file proves nothing; the elements are asked.

        Raises:
            UnknownFile: It does not exist.
            FileDeleted: It did.
            Unavailable: The catalogue is away, or an element that may have it.
        """
        entry = await self._catalogue.find(file_id)
        if entry is None:
            return await self._ask_elements(file_id, collections)
        if collections is not None and entry.collection not in collections:
            raise ForeignFile
        if entry.deleted:
            raise FileDeleted
        return Located(entry.record, entry.revision, entry.element_id)

    async def copies(self, file_id: FileId, collections: Container[str] | None) -> list[FileCopy]:
        """Where the file lies, the element that serves it first in front. Raises as `locate`."""
        located = await self.locate(file_id, collections)
        first = FileCopy(element_id=located.element_id, revision=located.revision, state="present")
        return await self._catalogue.holders(file_id) or [first]

    async def _ask_elements(self, file_id: FileId, collections: Container[str] | None) -> Located:
        found = await self._elements.find(file_id)
        if found is None:
            raise UnknownFile
        record, element = found
        if collections is not None and record.collection not in collections:
            raise ForeignFile
        if record.deleted is not None:
            raise FileDeleted
        return Located(record.to_json(), record.revision, element.element_id)
