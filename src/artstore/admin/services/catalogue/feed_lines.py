"""Turns the lines of a storage element into batches of changes, bounded in number and size."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from artstore.admin.services.catalogue.element_client import BrokenAnswer
from artstore.admin.services.catalogue.uploads import Upload, plain_upload
from artstore.core.errors import Unavailable
from artstore.core.model.event import Change, FeedLine, Note
from artstore.core.model.file import FileRecord

BATCH_LINES_MAX: Final = 500
"""Measured: larger batches merge hardly faster and hold the rows longer."""
BATCH_BYTES_MAX: Final = 8 << 20

_LINE: Final[TypeAdapter[Change | Note]] = TypeAdapter(FeedLine)

Line = Upload | Change | Note

Item = TypeVar("Item")


def parse_line(line: bytes) -> Line:
    """A line of the change feed."""
    upload = plain_upload(line)
    if upload is not None:
        return upload
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise BrokenAnswer from error


def parse_record(line: bytes) -> FileRecord:
    try:
        return FileRecord.from_json(line)
    except ValidationError as error:
        raise BrokenAnswer from error


async def batches(
    lines: AsyncIterator[bytes], parse: Callable[[bytes], Item]
) -> AsyncGenerator[list[Item], None]:
    """What came before a failure is given out first: a connection that always breaks early
    must not keep the catalogue from getting on."""
    batch: list[Item] = []
    size_bytes = 0
    try:
        async for line in lines:
            batch.append(parse(line))
            size_bytes += len(line)
            if len(batch) == BATCH_LINES_MAX or size_bytes >= BATCH_BYTES_MAX:
                yield batch
                batch, size_bytes = [], 0
    except (Unavailable, BrokenAnswer):
        if batch:
            yield batch
        raise
    if batch:
        yield batch


async def read_ahead(source: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
    """The same items; the next is read while the database works on this one."""
    coming = asyncio.ensure_future(anext(source))
    try:
        while True:
            try:
                item = await coming
            except StopAsyncIteration:
                return
            coming = asyncio.ensure_future(anext(source))
            yield item
    finally:
        coming.cancel()
        await asyncio.wait([coming])
