"""Changes and deletions of files: asked here, done by the element that holds them."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import psycopg

from artstore.admin.repository import catalogue_state, elements
from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.repository.catalogue_state import Location
from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.trail import Who
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.catalogue.rows import row_of, write_rows
from artstore.core.catalogue import covers
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, Unavailable, UnknownFile
from artstore.core.logging import get_logger
from artstore.core.model.audit import AuditKind
from artstore.core.model.file import FileChange, FileRecord
from artstore.core.model.ids import FileId, file_id_time


class Files:
    def __init__(self, database: Database, client: ElementClient, intents: Intents) -> None:
        self._database = database
        self._client = client
        self._intents = intents

    async def record(self, file_id: FileId) -> FileRecord:
        """As the element that holds it has it.

        Raises:
            UnknownFile: There is none.
            Unavailable: The element is away.
        """
        return await self._client.record((await self._locate(file_id)).url, file_id)

    async def change(self, file_id: FileId, change: FileChange, who: Who) -> FileRecord:
        """The record after the change. Searches show it when this returns.

        Raises:
            UnknownFile, FileDeleted: There is none (any more).
            RevisionConflict: It is not at the revision that the change expects.
            ModeForbids: The element's mode does not allow it.
            Unavailable: The element is away.
        """
        async with self._intents.asking(who, AuditKind.FILE_CHANGED, file_id):
            return await self._do(
                file_id, lambda place: self._client.change(place.url, file_id, change)
            )

    async def delete(self, file_id: FileId, reason: str, who: Who) -> FileRecord:
        """The tombstone; the same again when the file was deleted before.

        Raises:
            UnknownFile: There is none.
            ModeForbids, RetentionForbids: It may not be deleted, or not yet.
            Unavailable: The element is away.
        """
        body = orjson.dumps({"by": who.name, "reason": reason})
        async with self._intents.asking(who, AuditKind.FILE_DELETED, file_id):
            return await self._do(
                file_id, lambda place: self._client.delete(place.url, file_id, body)
            )

    async def _do(
        self, file_id: FileId, act: Callable[[Location], Awaitable[FileRecord]]
    ) -> FileRecord:
        place = await self._locate(file_id)
        record = await act(place)
        await self._show(record, place)
        return record

    async def _locate(self, file_id: FileId) -> Location:
        async with self._database.session() as session:
            place = await catalogue_state.locate(session, file_id)
        return place or await self._ask_elements(file_id)

    async def _ask_elements(self, file_id: FileId) -> Location:
        """Whoever has it: the catalogue may be behind, so its silence proves nothing."""
        async with self._database.session() as session:
            known = await elements.every(session)
        answers = await asyncio.gather(
            *(self._client.record(element.url, file_id) for element in known),
            return_exceptions=True,
        )
        unclear: ArtStoreError | None = None
        for element, answer in zip(known, answers, strict=True):
            match answer:
                case FileRecord():
                    return Location(element.element_id, element.url, element.generation)
                case UnknownFile():
                    pass
                case ArtStoreError():
                    if not covers(element.complete_until, file_id_time(file_id)):
                        unclear = answer
                case _:
                    raise answer
        if unclear is not None:
            raise Unavailable("a storage element does not answer") from unclear
        raise UnknownFile

    async def _show(self, record: FileRecord, place: Location) -> None:
        """Do not wait for the feed. The change is done, so a failure here is none of it."""
        row = row_of(record, place.element_id, place.generation)
        try:
            async with self._database.session() as session:
                await write_rows(await connection_of(session), [row])
        except (Unavailable, psycopg.Error) as error:
            get_logger().warning("the feed will show the change", cause=repr(error))
