"""The frame of an upload, in one piece and in the most awkward pieces."""

import json
from collections.abc import AsyncIterator

import pytest

from artstore.core.errors import ArtStoreError, InvalidMetadata, InvalidRequest, SizeMismatch
from artstore.core.model.batch import HEAD_BYTES_MAX
from artstore.storage.services.frame import Frame, split_frame

HEAD = {"original_filename": "a.txt", "uploaded_by": {"subject": "s", "name": "n", "via": "v"}}


def framed(content: bytes = b"content", **fields: object) -> bytes:
    head = json.dumps({**HEAD, **fields}).encode()
    return len(head).to_bytes(4) + head + content


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, size: int, length: int | None) -> tuple[str, bytes]:
    frame = Frame(pieces(body, size), length)
    draft = await frame.draft()
    return draft.original_filename, b"".join(
        [block async for block in frame.blocks(lambda: 1 << 20)]
    )


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("content", [b"", b"content" * 50])
async def test_it_comes_back_whatever_the_pieces(size: int, content: bytes) -> None:
    body = framed(content)
    assert await read(body, size, len(body)) == ("a.txt", content)
    assert await read(body, size, None) == ("a.txt", content)
    draft, whole = split_frame(body)
    assert (draft.original_filename, whole) == ("a.txt", content)


BAD = [
    (b"", InvalidRequest),
    (b"\0\0", InvalidRequest),
    (b"\0\0\1\0{}", InvalidRequest),
    ((HEAD_BYTES_MAX + 1).to_bytes(4), InvalidRequest),
    (b"\0\0\0\1{", InvalidMetadata),
    (b"\0\0\0\2{}", InvalidMetadata),
    (framed(retention={"mode": "wish"}), InvalidMetadata),
    (framed(surprise=1), InvalidMetadata),
    (framed(size=6), SizeMismatch),
    (framed(size=8), SizeMismatch),
    (framed(size=-1), InvalidMetadata),
]


@pytest.mark.parametrize(("body", "failure"), BAD)
async def test_what_is_not_a_frame_is_refused(body: bytes, failure: type[ArtStoreError]) -> None:
    for length in (None, len(body)):
        with pytest.raises(failure):
            await read(body, 5, length)
    with pytest.raises(failure):
        split_frame(body)


async def test_a_body_that_ends_too_early_is_refused() -> None:
    body = framed(b"x" * 100)
    with pytest.raises(SizeMismatch):
        await read(body[:-1], 10, len(body))


def test_the_field_is_named_and_its_content_is_not_told() -> None:
    with pytest.raises(InvalidMetadata) as caught:
        split_frame(framed(tags=["fine", {"secret": 1}]))
    assert caught.value.fields == {"field": "tags.1"}
    assert "secret" not in caught.value.detail
