"""Records: read, listed, changed, ended."""

from artstore.core.model.file import FileChange, FileRecord
from artstore.core.model.ids import FileId
from artstore.core.tracing import current_trace_id
from artstore.storage.engine.engine import Engine
from artstore.storage.services.threads import Threads


class Records:
    def __init__(self, engine: Engine, reading: Threads, writing: Threads) -> None:
        self._engine = engine
        self._reading = reading
        self._writing = writing

    async def read(self, file_id: FileId) -> FileRecord:
        return await self._reading.run(self._engine.reading.record, file_id)

    async def page(self, after: FileId | None, limit: int) -> list[bytes]:
        return await self._reading.run(self._engine.reading.files, after, limit)

    async def change(self, file_id: FileId, change: FileChange) -> FileRecord:
        stored = await self._writing.run(
            self._engine.changes.change, file_id, change, current_trace_id()
        )
        return stored.record

    async def delete(self, file_id: FileId, by: str, reason: str) -> FileRecord:
        stored = await self._writing.run(
            self._engine.changes.delete, file_id, by=by, reason=reason, trace=current_trace_id()
        )
        return stored.record
