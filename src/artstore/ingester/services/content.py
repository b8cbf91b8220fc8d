"""The bytes of an upload on their way: what is small is held, what is large flows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from artstore.core.model.batch import FILE_OVERHEAD_BYTES
from artstore.core.model.completion import Completion
from artstore.core.model.file import FileDraft
from artstore.core.model.ids import FileId

SMALL_BYTES: Final = 64 * 1024
"""Up to here a file is held in memory, sent in one piece, and can be sent again."""


class SmallFile(NamedTuple):
    """A small upload, ready for the wire. `trace_id`: of the request it came with."""

    file_id: FileId
    draft: FileDraft
    draft_json: bytes
    trace_id: str | None
    content: bytes

    @property
    def size(self) -> int:
        return FILE_OVERHEAD_BYTES + len(self.draft_json) + len(self.content)


class Arrived:
    """A small body that is here as a whole, as an iterator of its only chunk."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        self._is_over = True
        return self.content


async def nothing_found() -> Completion:
    return Completion()


@dataclass(frozen=True, slots=True)
class Flowing:
    """`size` is `None` when the sender does not say it.

    `complete` is asked when all chunks are gone; what it raises keeps the file from being one.
    """

    chunks: AsyncIterator[bytes]
    size: int | None
    complete: Callable[[], Awaitable[Completion]] = nothing_found


async def take(chunks: AsyncIterator[bytes], size: int | None) -> bytes | Flowing:
    """The content to send on; all of it, if it is small. Nothing is read of a body that says it
    is large."""
    if size is not None and size > SMALL_BYTES:
        return Flowing(chunks, size)
    if isinstance(chunks, Arrived):
        return chunks.content
    head = bytearray()
    async for chunk in chunks:
        head += chunk
        if len(head) > SMALL_BYTES:
            return Flowing(_rejoin(bytes(head), chunks), size)
    return bytes(head)


async def _rejoin(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk
