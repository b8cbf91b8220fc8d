"""The body of an upload: 4 bytes of length (big-endian), a `StreamedDraft` in JSON, the content,
and a completion if the draft announces one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from artstore.core.errors import BodyTooLarge, InvalidMetadata, InvalidRequest, SizeMismatch
from artstore.core.model.batch import HEAD_BYTES_MAX, BatchDraft
from artstore.core.model.completion import (
    COMPLETION_BYTES,
    Completion,
    StreamedDraft,
    unpack_completion,
)
from artstore.core.model.file import FILE_BYTES_MAX, FileDraft
from artstore.core.model.findings import told

D = TypeVar("D", bound=FileDraft)

_LENGTH_BYTES: Final = 4
SILENCE_MAX_S: Final = 60.0
"""A sender that says nothing for so long is gone, whatever its connection says."""


class Frame:
    """A body that streams. Reads each part once, in order."""

    def __init__(self, chunks: AsyncIterator[bytes], length: int | None) -> None:
        """`length`: of the whole body, if the sender said so."""
        self._chunks = chunks
        self._length = length
        self._buffered = b""
        self.content_size: int | None = None
        """Known after `draft`, if anybody declared it."""
        self.completion = Completion()
        """Known after `blocks`."""
        self._completion_follows = False

    async def draft(self) -> StreamedDraft:
        """Raises:
        InvalidMetadata, InvalidRequest, SizeMismatch: The head is not what it should be.
        """
        prefix = await self._take(_LENGTH_BYTES)
        head_length = int.from_bytes(prefix)
        if head_length > HEAD_BYTES_MAX:
            raise InvalidRequest("the head of the frame is too long", field="head")
        draft = parse_draft(await self._take(head_length))
        self.content_size = draft.size
        self._completion_follows = draft.completion_follows
        if self._length is not None:
            rest = self._length - _LENGTH_BYTES - head_length
            self.content_size = rest - _completion_bytes(draft)
            check_size(draft, self.content_size)
        return draft

    async def blocks(self, block_bytes: Callable[[], int]) -> AsyncIterator[bytes]:
        """The content, as `in_blocks`."""
        total = 0
        tail = _Tail(COMPLETION_BYTES if self._completion_follows else 0)
        async for block in in_blocks(tail.before(self._rest()), block_bytes):
            total += len(block)
            if total > FILE_BYTES_MAX:
                raise BodyTooLarge(f"a file may have {FILE_BYTES_MAX} bytes")
            yield block
            del block  # the next one may be long in coming
        self._check_length(total)
        if self._completion_follows:
            self.completion = unpack_completion(tail.bytes)

    async def _rest(self) -> AsyncIterator[bytes]:
        if self._buffered:
            yield self._buffered
        async for chunk in self._chunks:
            yield chunk

    def _check_length(self, size: int) -> None:
        if self.content_size not in (None, size):
            raise SizeMismatch(f"{size} bytes came instead of {self.content_size}")

    async def _take(self, size: int) -> bytes:
        pieces = [self._buffered]
        missing = size - len(self._buffered)
        while missing > 0:
            chunk = await next_chunk(self._chunks)
            if chunk is None:
                raise InvalidRequest("the body ends within its head", field="head")
            pieces.append(chunk)
            missing -= len(chunk)
        data = b"".join(pieces)
        self._buffered = data[size:]
        return data[:size]


class _Tail:
    """Keeps the last bytes of a stream back, without copying the others."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.bytes = b""
        """Known at the end of the stream."""

    async def before(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        held: deque[bytes] = deque()
        held_bytes = 0
        async for chunk in chunks:
            held.append(chunk)
            held_bytes += len(chunk)
            while held and held_bytes - len(held[0]) >= self._size:
                held_bytes -= len(held[0])
                yield held.popleft()
        rest = b"".join(held)
        start = max(0, len(rest) - self._size)
        self.bytes = rest[start:]
        if start:
            yield rest[:start]


async def in_blocks(
    chunks: AsyncIterator[bytes], block_bytes: Callable[[], int]
) -> AsyncIterator[bytes]:
    """The same in blocks of about so many bytes. Fails as `next_chunk`, and hands out first what
    came before."""
    gathered: list[bytes] = []
    size = 0
    failure: ClientDisconnect | None = None
    chunk: bytes | None = b""
    while chunk is not None:
        try:
            chunk = await next_chunk(chunks)
        except ClientDisconnect as error:
            chunk, failure = None, error
        gathered.append(chunk or b"")
        size += len(gathered[-1])
        if size and (size >= block_bytes() or chunk is None):
            yield b"".join(gathered)
            gathered, size = [], 0
    if failure is not None:
        raise failure


async def next_chunk(chunks: AsyncIterator[bytes]) -> bytes | None:
    """`None` at the end. Raises `ClientDisconnect` if the sender is silent for too long."""
    try:
        async with asyncio.timeout(SILENCE_MAX_S):
            return await anext(chunks, None)
    except TimeoutError:
        raise ClientDisconnect from None


def split_frame(body: bytes) -> tuple[FileDraft, bytes]:
    """The parts of a body that is in memory as a whole. Fails as `Frame.draft`."""
    content_start = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES])
    if content_start > len(body):
        raise InvalidRequest("the body ends within its head", field="head")
    draft = parse_draft(body[_LENGTH_BYTES:content_start])
    content_end = len(body) - _completion_bytes(draft)
    check_size(draft, content_end - content_start)
    content = body[content_start:content_end]
    if draft.completion_follows:
        return unpack_completion(body[content_end:]).fill_in(draft), content
    return draft, content


class InMemory:
    """A content that is here already, with the face of a `Frame`."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.content_size = len(content)
        self.completion = Completion()

    async def blocks(self, block_bytes: Callable[[], int]) -> AsyncIterator[bytes]:
        step = block_bytes()
        for start in range(0, len(self._content), step):
            yield self._content[start : start + step]


def check_size(draft: FileDraft, size: int) -> None:
    """Raises `SizeMismatch` or `BodyTooLarge`. `size`: what the body has for the content."""
    if size < 0 or draft.size not in (None, size):
        raise SizeMismatch("the body does not have the declared length")
    if size > FILE_BYTES_MAX:
        raise BodyTooLarge(f"a file may have {FILE_BYTES_MAX} bytes")


def _completion_bytes(draft: StreamedDraft) -> int:
    return COMPLETION_BYTES if draft.completion_follows else 0


def parse_draft(head: bytes) -> StreamedDraft:
    """Raises `InvalidMetadata`, naming the field and never its content."""
    return _parse(StreamedDraft, head)


def parse_batch_draft(head: bytes) -> BatchDraft:
    """As `parse_draft`."""
    return _parse(BatchDraft, head)


def _parse(kind: type[D], head: bytes) -> D:
    try:
        return kind.model_validate_json(head)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidMetadata(f"{field}: {told(first)}", field=field) from None
