"""Where a file is, and what is known of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from artstore.core.clock import Clock
from artstore.core.errors import FileDeleted, UnknownFile
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import ElementId, FileId, file_id_time
from artstore.query.repository.catalogue import Catalogue
from artstore.query.services.elements import Elements

YOUNG: Final = timedelta(seconds=60)
"""The catalogue follows within a second; an id older than this that it lacks is unknown."""


@dataclass(frozen=True, slots=True)
class Located:
    """`raw` holds the bytes of the attr.json, to be passed on as they are."""

    raw: bytes
    revision: int
    element_id: ElementId

    @property
    def record(self) -> FileRecord:
        return FileRecord.from_json(self.raw)


class Files:
    def __init__(self, catalogue: Catalogue, elements: Elements, clock: Clock) -> None:
        self._catalogue = catalogue
        self._elements = elements
        self._clock = clock

    async def locate(self, file_id: FileId) -> Located:
        """The file, also in the moment between its upload and its entry in the catalogue.

        Raises:
            UnknownFile: It does not exist.
            FileDeleted: It did.
            Unavailable: The catalogue is away, or an element that may have it.
        """
        entry = await self._catalogue.find(file_id)
        if entry is None:
            return await self._locate_young(file_id)
        if entry.deleted:
            raise FileDeleted
        return Located(entry.record, entry.revision, entry.element_id)

    async def _locate_young(self, file_id: FileId) -> Located:
        if abs(self._clock.now() - file_id_time(file_id)) > YOUNG:
            raise UnknownFile
        found = await self._elements.find(file_id)
        if found is None:
            raise UnknownFile
        record, element = found
        if record.deleted is not None:
            raise FileDeleted
        return Located(record.to_json(), record.revision, element.element_id)
