"""Forms: every way to cut one into chunks gives the same file."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.errors import ArtStoreError, InvalidRequest, UnsupportedMediaType
from artstore.ingester.services.multipart import (
    MultipartReader,
    boundary_of,
    parse_disposition,
)
from artstore.ingester.services.submission import Fields

CONTENT_TYPE = "multipart/form-data; boundary=BoUnD"


async def chunks_of(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    positions = [0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]
    for start, end in pairwise(positions):
        if start < end:
            yield body[start:end]


async def read(body: bytes, cuts: list[int]) -> tuple[Fields, str | None, bytes]:
    reader = MultipartReader(CONTENT_TYPE, chunks_of(body, cuts))
    fields, head = await reader.read_fields()
    return fields, head.filename, b"".join([chunk async for chunk in reader.content()])


def form(fields: list[tuple[str, bytes]], content: bytes) -> bytes:
    parts = [
        b'--BoUnD\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (k.encode(), v)
        for k, v in fields
    ]
    file = (
        'Content-Disposition: form-data; name="file"; filename="имя.txt"\r\n'
        "Content-Type: text/plain\r\n\r\n"
    )
    return b"".join(parts) + b"--BoUnD\r\n" + file.encode() + content + b"\r\n--BoUnD--\r\n"


@given(st.binary(max_size=300), st.lists(st.integers(0, 2000), max_size=20))
async def test_chunks_do_not_matter(content: bytes, cuts: list[int]) -> None:
    # Parts of a boundary inside of the content must not end it.
    content = content.replace(b"0", b"\r\n--BoUn").replace(b"1", b"\r\n").replace(b"2", b"--BoUnD-")
    content = content.replace(b"\r\n--BoUnD", b"")
    body = form([("tag", "метка".encode()), ("tag", b"")], content)

    assert await read(body, cuts) == ([("tag", "метка"), ("tag", "")], "имя.txt", content)


@given(st.integers(0, 250))
async def test_a_form_that_is_cut_anywhere_is_never_whole(length: int) -> None:
    body = form([("tag", b"x")], b"content of the file")
    end = body.index(b"--BoUnD--") + len(b"--BoUnD--")

    with pytest.raises(InvalidRequest):
        await read(body[: min(length, end - 1)], [])


@given(st.binary(max_size=500))
async def test_no_body_does_more_than_be_refused(body: bytes) -> None:
    with pytest.raises(ArtStoreError):
        await read(body, [100, 200])


@pytest.mark.parametrize(
    ("header", "parameters"),
    [
        ('form-data; name="file"; filename="a.txt"', {"name": "file", "filename": "a.txt"}),
        ("form-data; name=file; filename=a.txt", {"name": "file", "filename": "a.txt"}),
        ('form-data; name="a%22b"', {"name": 'a"b'}),
        ('form-data; name="a\\"b"', {"name": 'a"b'}),
        ('form-data; name="C:\\temp\\a"', {"name": "C:\\temp\\a"}),
        ('form-data; name="ends\\"; filename="x"', {"name": "ends\\", "filename": "x"}),
        ('form-data; name="a%0D%0Ab%20c"', {"name": "a\r\nb%20c"}),
        ('form-data; name="a; b=c"', {"name": "a; b=c"}),
        ('FORM-DATA ; NAME="x"', {"name": "x"}),
        ("form-data", {}),
    ],
)
def test_dispositions(header: str, parameters: dict[str, str]) -> None:
    assert parse_disposition(header) == parameters


@pytest.mark.parametrize("header", ["", "attachment", 'form-data; name="x', "form-data name=x"])
def test_malformed_dispositions(header: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_disposition(header)


def test_no_disposition_takes_long() -> None:
    """Each piece can be read in two ways only at first sight: no doubling with every piece."""
    for piece in ('\\"', '\\";a="', '\\";a=";b="', ' ;a="\\"', "; ", '\\"  ;'):
        with pytest.raises(InvalidRequest):
            parse_disposition('form-data; name="' + piece * 2000 + "\x00;;")


def test_boundaries() -> None:
    assert boundary_of("multipart/form-data; boundary=abc; charset=utf-8") == "abc"
    assert boundary_of('multipart/form-data; Boundary="a b"') == "a b"
    with pytest.raises(UnsupportedMediaType):
        boundary_of("multipart/form-data")
