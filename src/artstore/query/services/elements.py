"""Storage elements as this module sees them: who has a file, and its bytes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
from pydantic import ValidationError

from artstore.core.catalogue import covers
from artstore.core.clock import Clock
from artstore.core.errors import (
    ArtStoreError,
    FileArchived,
    FileDeleted,
    InternalError,
    RangeNotSatisfiable,
    Unavailable,
    UnknownFile,
)
from artstore.core.http import Transport
from artstore.core.logging import get_logger
from artstore.core.model.element import ElementEntry
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import ElementId, FileId, file_id_time
from artstore.query.repository.catalogue import Catalogue, KnownElement

REGISTRY_AGE_MAX_S: Final = 5.0
ASK_TIMEOUT_S: Final = 5.0
AWAY_S: Final = 5.0
NOT_AVAILABLE: Final = "the file is temporarily not available"


class Source(NamedTuple):
    """An element, and its answer with the bytes."""

    element_id: ElementId
    answer: aiohttp.ClientResponse


class Elements:
    def __init__(
        self, transport: Transport, catalogue: Catalogue, clock: Clock, *, admin_url: str
    ) -> None:
        self._transport = transport
        self._catalogue = catalogue
        self._clock = clock
        self._admin_url = admin_url.rstrip("/")
        self._known: Mapping[ElementId, KnownElement] = {}
        self._read_at_s = float("-inf")
        self._away_until_s: dict[ElementId, float] = {}
        self._log = get_logger()

    async def entry(self, element_id: ElementId) -> ElementEntry:
        """Raises `Unavailable` for an element that the registry does not know (any more)."""
        age_s = self._clock.monotonic_s() - self._read_at_s
        if age_s > REGISTRY_AGE_MAX_S or element_id not in self._known:
            await self._read_registry()
        known = self._known.get(element_id)
        if known is None:
            self._log.error("element is not in the registry", element=element_id)
            raise Unavailable(NOT_AVAILABLE)
        return known.entry

    async def find(self, file_id: FileId) -> tuple[FileRecord, ElementEntry] | None:
        """Asks all elements at once; the first that has the file answers.

        Raises:
            Unavailable: Nobody has it, but one that may have it did not answer.
        """
        # Read anew: the file may be the first of an element that was added just now.
        await self._read_registry()
        asking = [asyncio.create_task(self._ask(known, file_id)) for known in self._known.values()]
        unclear = False
        try:
            for answer in asyncio.as_completed(asking):
                try:
                    found = await answer
                except (ArtStoreError, TimeoutError):
                    unclear = True
                    continue
                if found is not None:
                    return found
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        if unclear:
            raise Unavailable("not every storage element answers")
        return None

    @asynccontextmanager
    async def open(
        self, element_id: ElementId, record: FileRecord, byte_range: tuple[int, int] | None
    ) -> AsyncIterator[Source]:
        """The bytes, of this element or else of another that has the file.

        Args:
            byte_range: Start and exclusive end.

        Raises:
            FileDeleted: The catalogue does not know yet.
            ArtStoreError: Nobody hands it out; why the first one asked does not.
        """
        async with AsyncExitStack() as stack:
            yield await self._first_answer(stack, element_id, record, byte_range)

    async def _first_answer(
        self,
        stack: AsyncExitStack,
        element_id: ElementId,
        record: FileRecord,
        byte_range: tuple[int, int] | None,
    ) -> Source:
        file_id = record.file_id
        failure: ArtStoreError | None = None
        async for place in self._places(element_id, file_id):
            try:
                return await self._answer_of(stack, place, record, byte_range)
            except FileDeleted:
                raise
            except FileArchived as archived:
                # What helps is a restore, whatever becomes of the others.
                failure = archived
            except ArtStoreError as error:
                self._log.warning(
                    "element does not hand out", element=place, file_id=file_id, code=error.code
                )
                if isinstance(error, Unavailable):
                    self._away_until_s[place] = self._clock.monotonic_s() + AWAY_S
                failure = failure or error
        assert failure is not None, "at least one place was tried"
        restored = await self._catalogue.restored(file_id)
        if restored is None:
            raise failure
        try:
            return await self._answer_of(stack, restored, record, byte_range)
        except UnknownFile:
            raise failure from None

    async def _answer_of(
        self,
        stack: AsyncExitStack,
        place: ElementId,
        record: FileRecord,
        byte_range: tuple[int, int] | None,
    ) -> Source:
        entry = await self.entry(place)
        answer = await stack.enter_async_context(self._open_at(entry, record, byte_range))
        return Source(place, answer)

    async def _places(self, element_id: ElementId, file_id: FileId) -> AsyncIterator[ElementId]:
        """Whom to ask. The catalogue is asked for others only when that is needed."""
        first_is_away = self._is_away(element_id)
        if not first_is_away:
            yield element_id
        others = [place for place in await self._catalogue.copies(file_id) if place != element_id]
        for place in sorted(others, key=self._is_away):
            yield place
        if first_is_away:
            yield element_id

    def _is_away(self, element_id: ElementId) -> bool:
        """It did not answer a moment ago: whoever has a choice need not wait for it."""
        return self._away_until_s.get(element_id, 0) > self._clock.monotonic_s()

    @asynccontextmanager
    async def _open_at(
        self, entry: ElementEntry, record: FileRecord, byte_range: tuple[int, int] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {}
        if byte_range is not None:
            headers["Range"] = f"bytes={byte_range[0]}-{byte_range[1] - 1}"
        url = f"{entry.url}/api/v1/files/{record.file_id}/content"
        try:
            async with self._transport.request(
                "GET", url, peer="storage", headers=headers
            ) as answer:
                self._check(entry, record, byte_range, answer)
                yield answer
        except RangeNotSatisfiable as error:
            # The range is one of this file, so the element has another.
            raise Unavailable(NOT_AVAILABLE) from error

    def _check(
        self,
        entry: ElementEntry,
        record: FileRecord,
        byte_range: tuple[int, int] | None,
        answer: aiohttp.ClientResponse,
    ) -> None:
        """The element must be about to send exactly what we are about to promise."""
        start, end = byte_range or (0, record.size)
        part = f"bytes {start}-{end - 1}/{record.size}" if byte_range else None
        promised = {
            "content-length": str(end - start),
            "content-range": part,
            "etag": f'"{record.sha256}"',
        }
        sent = {name: answer.headers.get(name) for name in promised}
        if sent == promised and answer.status == (206 if part else 200):
            return
        self._log.error(
            "element and catalogue differ",
            element=entry.element_id,
            file_id=record.file_id,
            promised=promised,
            sent=sent | {"status": answer.status},
        )
        raise Unavailable(NOT_AVAILABLE)

    async def signing_keys(self) -> dict[str, Any]:
        url = f"{self._admin_url}/.well-known/jwks.json"
        async with self._transport.request("GET", url, peer="admin") as response:
            body = await response.read()
        try:
            keys: dict[str, Any] = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InternalError from error
        return keys

    async def _read_registry(self) -> None:
        elements = await self._catalogue.elements()
        self._known = {known.entry.element_id: known for known in elements}
        self._read_at_s = self._clock.monotonic_s()

    async def _ask(
        self, known: KnownElement, file_id: FileId
    ) -> tuple[FileRecord, ElementEntry] | None:
        """Raises if it does not answer and may hold the file."""
        entry = known.entry
        url = f"{entry.url}/api/v1/files/{file_id}"
        try:
            async with (
                asyncio.timeout(ASK_TIMEOUT_S),
                self._transport.request("GET", url, peer="storage") as response,
            ):
                return FileRecord.from_json(await response.read()), entry
        except UnknownFile:
            return None
        except ValidationError as error:
            raise InternalError from error
        except (ArtStoreError, TimeoutError):
            if covers(known.complete_until, file_id_time(file_id)):
                return None
            raise
