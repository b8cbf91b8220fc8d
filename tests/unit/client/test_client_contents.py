import os
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from artstore.client.bodies import SMALL_BYTES_MAX, FileBody, MemoryBody, StreamBody, open_content
from artstore.client.calls import Calls
from artstore.client.messages import Answer, Exchange, Request
from artstore.client.settings import Profile
from artstore.client.uploads import Details, printable_name, upload
from artstore.core.errors import InvalidRequest, SizeMismatch


def request_of(source: Any, details: Details) -> Request:
    """The request that an upload begins with."""
    calls = Calls(Profile("https://x", None, "c", "s"))
    token = b'{"access_token": "t", "token_type": "Bearer", "expires_in": 60}'
    fetching = calls.fetch_token()
    next(fetching)
    with pytest.raises(StopIteration):
        fetching.send(Answer(200, {}, token))
    step = next(upload(calls, source, details))
    assert isinstance(step, Exchange)
    return step.request


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("a.pdf", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("Makefile", "application/octet-stream"),
        ("копия.TXT", "text/plain"),
    ],
)
def test_the_type_is_guessed_from_the_name(filename: str, content_type: str) -> None:
    request = request_of(b"x", Details(filename))

    assert request.headers["content-type"] == content_type


def test_a_given_type_is_kept() -> None:
    request = request_of(b"x", Details("a.pdf", content_type="text/x-mine"))

    assert request.headers["content-type"] == "text/x-mine"


def test_what_is_not_said_is_not_sent() -> None:
    assert request_of(b"x", Details("a b")).target == "/api/v1/files?filename=a%20b"


def test_metadata_travels_as_json() -> None:
    request = request_of(b"x", Details("a", metadata={"ключ": [1, None]}, tags=("t1", "t2")))

    assert "tag=t1&tag=t2&metadata=%7B%22%D0%BA%D0%BB%D1%8E%D1%87%22%3A%5B1%2Cnull%5D%7D" in (
        request.target
    )


@pytest.mark.parametrize("source", [b"x", BytesIO(b"x")])
def test_a_source_without_a_name_needs_one(source: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request_of(source, Details())
    assert caught.value.fields["field"] == "filename"


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert printable_name("a\udcff") == "a\N{REPLACEMENT CHARACTER}"
    assert printable_name("Отчёт") == "Отчёт"


@pytest.mark.parametrize("extra", [0, 1])
def test_the_border_between_memory_and_file(tmp_path: Path, extra: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (SMALL_BYTES_MAX + extra))

    content = open_content(path)

    assert isinstance(content, FileBody if extra else bytes)


def test_large_bytes_are_sent_in_pieces() -> None:
    content = bytes(range(256)) * (SMALL_BYTES_MAX // 256 + 1)
    body = open_content(content)

    assert isinstance(body, MemoryBody)
    assert b"".join(body.chunks()) == content
    assert all(len(chunk) < len(content) for chunk in body.chunks())


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    body = FileBody(path)
    path.write_bytes(b"x" * 999)

    with pytest.raises(SizeMismatch):
        list(body.chunks())


def test_a_file_that_grows_is_sent_as_it_was_hashed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    body = FileBody(path)
    path.write_bytes(b"x" * 1001)

    assert b"".join(body.chunks()) == b"x" * 1000


def test_a_text_stream_is_refused() -> None:
    body = StreamBody(StringIO("text"))  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="'rb'"):
        list(body.chunks())


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="not a regular file"):
        open_content(tmp_path / "pipe")
