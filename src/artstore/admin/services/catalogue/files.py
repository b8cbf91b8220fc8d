"""Changes and deletions of files: asked here, done by the element that holds them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import orjson
import psycopg

from artstore.admin.repository import catalogue_state, elements
from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.repository.catalogue_state import Location
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.catalogue.rows import row_of, write_rows
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, Unavailable, UnknownFile
from artstore.core.logging import get_logger
from artstore.core.model.file import FileChange, FileRecord
from artstore.core.model.ids import FileId, file_id_time

YOUNG: Final = timedelta(minutes=1)
"""The catalogue is at most a second behind; beyond this a file it does not know is unknown."""


class Files:
    def __init__(self, database: Database, client: ElementClient, clock: Clock) -> None:
        self._database = database
        self._client = client
        self._clock = clock

    async def change(self, file_id: FileId, change: FileChange) -> FileRecord:
        """The record after the change. Searches show it when this returns.

        Raises:
            UnknownFile, FileDeleted: There is none (any more).
            RevisionConflict: It is not at the revision that the change expects.
            ModeForbids: The element's mode does not allow it.
            Unavailable: The element is away.
        """
        return await self._do(
            file_id, lambda place: self._client.change(place.url, file_id, change)
        )

    async def delete(self, file_id: FileId, by: str, reason: str) -> FileRecord:
        """The tombstone; the same again when the file was deleted before.

        Raises:
            UnknownFile: There is none.
            ModeForbids, RetentionForbids: It may not be deleted, or not yet.
            Unavailable: The element is away.
        """
        body = orjson.dumps({"by": by, "reason": reason})
        return await self._do(file_id, lambda place: self._client.delete(place.url, file_id, body))

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
        if place is None and self._clock.now() - file_id_time(file_id) < YOUNG:
            place = await self._ask_elements(file_id)
        if place is None:
            raise UnknownFile
        return place

    async def _ask_elements(self, file_id: FileId) -> Location | None:
        """Whoever has it. That nobody has it is certain only if all of them answered."""
        async with self._database.session() as session:
            places = [
                Location(element.element_id, element.url, element.generation)
                for element in await elements.every(session)
            ]
        answers = await asyncio.gather(
            *(self._client.record(place.url, file_id) for place in places), return_exceptions=True
        )
        unclear: ArtStoreError | None = None
        for place, answer in zip(places, answers, strict=True):
            match answer:
                case FileRecord():
                    return place
                case UnknownFile():
                    pass
                case ArtStoreError():
                    unclear = answer
                case _:
                    raise answer
        if unclear is not None:
            raise Unavailable("a storage element does not answer") from unclear
        return None

    async def _show(self, record: FileRecord, place: Location) -> None:
        """Do not wait for the feed. The change is done, so a failure here is none of it."""
        row = row_of(record, place.element_id, place.generation)
        try:
            async with self._database.session() as session:
                await write_rows(await connection_of(session), [row])
        except (Unavailable, psycopg.Error) as error:
            get_logger().warning("the feed will show the change", cause=repr(error))
