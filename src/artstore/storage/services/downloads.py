"""Hands content out, in constant memory, and never bytes it knows to be wrong."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

from artstore.core.errors import FileDamaged
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.web.ranges import parse_range
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.reading import Content
from artstore.storage.services.threads import Threads, finished

BLOCK_BYTES: Final = 1 << 20
WHOLE_BYTES_MAX: Final = 1 << 20
"""Files up to this size are checked before their first byte goes out."""


Report = Callable[[FileId], None]
"""Told of a file that is damaged. What lies in an archive is read so seldom that whoever meets
damage there has it recorded at once; online, that is left to the scrub."""


class Download(NamedTuple):
    """`part` is `None` for the whole file. `body`: the bytes, or where they come from."""

    record: FileRecord
    part: tuple[int, int] | None
    body: bytes | AsyncIterator[bytes]


class Downloads:
    def __init__(self, engine: Engine, threads: Threads) -> None:
        self._engine = engine
        self._threads = threads

    async def head(self, file_id: FileId, *, from_archive: bool = False) -> FileRecord:
        content = await self._threads.run(
            self._engine.contents.open, file_id, from_archive=from_archive
        )
        await self._threads.run(content.close)
        return content.record

    async def open(
        self, file_id: FileId, range_header: str | None, *, from_archive: bool = False
    ) -> Download:
        """Raises:
        UnknownFile, FileDeleted, FileDamaged, FileArchived, RangeNotSatisfiable.
        """
        report = self._engine.damage_report.look_at if from_archive else _tell_nobody
        content, part, body = await self._threads.run(
            self._open, file_id, range_header, report, from_archive=from_archive
        )
        if body is not None:
            return Download(content.record, part, body)
        return Download(content.record, part, self._stream(content, part, report))

    def _open(
        self, file_id: FileId, range_header: str | None, report: Report, *, from_archive: bool
    ) -> tuple[Content, tuple[int, int] | None, bytes | None]:
        """In a thread. The bytes too, if they are few: one crossing for a small file."""
        content = self._engine.contents.open(file_id, from_archive=from_archive)
        body: bytes | None = None
        try:
            part = parse_range(range_header, content.record.size)
            start, end = part or (0, content.record.size)
            if part is None and end <= WHOLE_BYTES_MAX:
                body = content.whole()
            elif end - start <= BLOCK_BYTES:
                body = content.read(end - start, start)
        except FileDamaged:
            content.close()
            report(file_id)
            raise
        except BaseException:
            content.close()
            raise
        if body is not None:
            content.close()
        return content, part, body

    async def _stream(
        self, content: Content, part: tuple[int, int] | None, report: Report
    ) -> AsyncIterator[bytes]:
        """Reads the next block while one is sent. The last block of a whole file goes out
        only if the digest is right: the receiver sees a cut connection, not a bad file."""
        blocks = _Blocks(content, part, report)
        reading = self._threads.begin(blocks.next)
        try:
            while block := await finished(reading):
                reading = self._threads.begin(blocks.next)
                yield block
        finally:
            # No await: a client that left has cancelled us, and every await would say so
            # again. The file is closed when no thread reads it any more.
            reading.add_done_callback(lambda last: self._close(content, last))

    def _close(self, content: Content, last: asyncio.Future[bytes]) -> None:
        last.cancelled() or last.exception()  # looked at, whoever wanted it
        self._threads.begin(content.close)


def _tell_nobody(_: FileId) -> None:
    pass


class _Blocks:
    """One thread at a time."""

    def __init__(self, content: Content, part: tuple[int, int] | None, report: Report) -> None:
        self._content = content
        self._report = report
        self._offset, self._end = part or (0, content.record.size)
        self._digest = hashlib.sha256() if part is None else None

    def next(self) -> bytes:
        """The next block; empty at the end.

        Raises:
            FileDamaged: With this block, the file is not what was stored.
        """
        size = min(BLOCK_BYTES, self._end - self._offset)
        if size == 0:
            return b""
        block = self._content.read(size, self._offset)
        self._offset += size
        if self._digest is not None:
            self._digest.update(block)
            if self._offset == self._end:
                self._check(self._digest.hexdigest())
        return block

    def _check(self, sha256: str) -> None:
        if sha256 != self._content.record.sha256:
            self._report(self._content.record.file_id)
            raise FileDamaged("the stored content does not match its digest")
