"""Downloads: cut, resumed, compared. Over real connections, through both clients."""

import hashlib
import io
import os
from pathlib import Path

import pytest
from tests.integration.client.conftest import Client
from tests.integration.client.fake_artstore import FakeArtStore, Fault

from artstore.client.calls import ATTEMPTS_MAX
from artstore.client.sinks import PathDestination
from artstore.core.errors import (
    DigestMismatch,
    FileDeleted,
    InvalidRequest,
    Unavailable,
    UnknownFile,
)

CONTENT = os.urandom(700_000)
GET_CONTENT = ("GET", "/content")


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def ranges(fake: FakeArtStore) -> list[str | None]:
    return [seen.headers.get("range") for seen in fake.requests(*GET_CONTENT)]


@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=["empty", "byte", "more"])
async def test_content_comes_back(
    client: Client, fake: FakeArtStore, tmp_path: Path, content: bytes
) -> None:
    file_id = fake.keep(content)

    done = await client("get", file_id, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == content
    assert done.path == tmp_path / "copy"
    assert done.size == len(content)
    assert names_in(tmp_path) == ["copy"]


async def test_a_cut_download_goes_on_where_it_stopped(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [Fault(*GET_CONTENT, cut_after_bytes=300_000) for _ in range(2)]

    await client("get", file_id, str(tmp_path / "copy"))

    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert ranges(fake)[0] is None
    assert all(asked is not None for asked in ranges(fake)[1:])
    etag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert {seen.headers["if-range"] for seen in fake.requests(*GET_CONTENT)[1:]} == {etag}


async def test_cuts_that_bring_something_are_not_counted(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [Fault(*GET_CONTENT, cut_after_bytes=64 * 1024) for _ in range(ATTEMPTS_MAX + 2)]

    await client("get", file_id, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == CONTENT


async def test_a_later_process_takes_up_the_part(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [
        Fault(*GET_CONTENT, cut_after_bytes=300_000),
        *[Fault(*GET_CONTENT, cut_before_answer=True) for _ in range(2 * ATTEMPTS_MAX)],
    ]
    with pytest.raises(Unavailable):
        await client("get", file_id, tmp_path / "copy")
    part = tmp_path / f"{file_id}.part"
    part_bytes = part.stat().st_size
    assert names_in(tmp_path) == [part.name]
    fake.seen.clear()
    fake.faults.clear()

    await client("get", file_id, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert ranges(fake) == [f"bytes={part_bytes}-"]
    assert part_bytes > 0


async def test_a_complete_part_needs_no_transfer(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    (tmp_path / f"{file_id}.part").write_bytes(CONTENT)

    await client("get", file_id, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert ranges(fake) == []


async def test_a_part_that_is_too_long_is_fetched_anew(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    (tmp_path / f"{file_id}.part").write_bytes(CONTENT + b"?")

    await client("get", file_id, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == CONTENT


async def test_a_damaged_part_is_found_and_discarded(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    (tmp_path / f"{file_id}.part").write_bytes(b"\0" * 1000)

    with pytest.raises(DigestMismatch):
        await client("get", file_id, tmp_path / "copy")
    assert names_in(tmp_path) == []

    await client("get", file_id, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


async def test_damaged_content_is_never_published(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [Fault(*GET_CONTENT, flip_byte=True)]

    with pytest.raises(DigestMismatch):
        await client("get", file_id, tmp_path / "copy")
    assert names_in(tmp_path) == []


async def test_a_stream_gets_each_byte_once(client: Client, fake: FakeArtStore) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [Fault(*GET_CONTENT, cut_after_bytes=300_000)]
    stream = io.BytesIO()

    done = await client("get", file_id, stream)

    assert stream.getvalue() == CONTENT
    assert done.path is None


async def test_a_server_without_ranges_is_skipped_through(
    client: Client, fake: FakeArtStore
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [Fault(*GET_CONTENT, cut_after_bytes=300_000)]
    fake.ignore_ranges = True
    stream = io.BytesIO()

    await client("get", file_id, stream)

    assert stream.getvalue() == CONTENT


async def test_a_token_that_ends_meanwhile_is_replaced(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [
        Fault(*GET_CONTENT, cut_after_bytes=300_000),
        Fault(*GET_CONTENT, 401, "invalid_token"),
    ]

    await client("get", file_id, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert len(fake.tokens) == 2


async def test_a_taken_path_is_kept_when_asked(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    (tmp_path / "copy").write_text("mine")

    with pytest.raises(FileExistsError):
        await client("get", file_id, tmp_path / "copy", overwrite=False)
    assert (tmp_path / "copy").read_text() == "mine"

    await client("get", file_id, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


async def test_a_path_taken_meanwhile_is_kept(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)

    with pytest.raises(FileExistsError):
        await client(
            "get",
            file_id,
            tmp_path / "copy",
            overwrite=False,
            progress=lambda *_: (tmp_path / "copy").write_text("mine"),
        )
    assert (tmp_path / "copy").read_text() == "mine"


async def test_two_processes_do_not_share_a_part(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    other = PathDestination(tmp_path / "copy", file_id)
    other.open()
    try:
        with pytest.raises(BlockingIOError, match="under way"):
            await client("get", file_id, tmp_path / "copy")
    finally:
        other.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(*GET_CONTENT, 404, "unknown_file"), UnknownFile),
        (Fault(*GET_CONTENT, 410, "file_deleted"), FileDeleted),
    ],
)
async def test_what_is_not_there_leaves_nothing(
    client: Client, fake: FakeArtStore, tmp_path: Path, fault: Fault, kind: type[Exception]
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [fault]

    with pytest.raises(kind):
        await client("get", file_id, tmp_path / "copy")
    assert names_in(tmp_path) == []


async def test_an_id_is_never_a_path(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        await client("get", "../../etc/passwd", tmp_path / "copy")


async def test_progress_counts_up_to_the_size(
    client: Client, fake: FakeArtStore, tmp_path: Path
) -> None:
    file_id = fake.keep(CONTENT)
    fake.faults = [Fault(*GET_CONTENT, cut_after_bytes=300_000)]
    reported: list[tuple[int, int | None]] = []

    await client("get", file_id, tmp_path / "copy", progress=lambda *r: reported.append(r))

    assert reported == sorted(reported)
    assert reported[-1] == (len(CONTENT), len(CONTENT))
