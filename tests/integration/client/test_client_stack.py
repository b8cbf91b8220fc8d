"""The SDK and the command line against the whole system, through the real edge."""

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.stack import RunningStack

from artstore.client import ArtStore, AsyncArtStore, Resume, load_profile, resumable
from artstore.client.messages import Request
from artstore.client.settings import Profile
from artstore.core.errors import (
    FileDeleted,
    InvalidCredentials,
    ModeForbids,
    RetentionForbids,
    UnknownFile,
)

pytestmark = pytest.mark.stack

CONTENT = os.urandom(6_000_000)
CATALOGUE_WAIT_S = 20


@pytest.fixture(scope="module")
def store(stack: RunningStack) -> Iterator[ArtStore]:
    with ArtStore.from_home(stack.home) as store:
        yield store


def soon(wanted: Callable[[], Any]) -> Any:
    """What `wanted` gives as soon as it is something: the catalogue follows within a second."""
    deadline = time.monotonic() + CATALOGUE_WAIT_S
    while not (found := wanted()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@asynccontextmanager
async def cutting(
    profile: Profile, after_bytes: int, *, on_the_way_up: bool = False
) -> AsyncIterator[Profile]:
    """The way to the edge, as one where every connection is cut after so many bytes."""
    edge_port = int(profile.edge_url.rpartition(":")[2])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        edge_reader, edge_writer = await asyncio.open_connection("127.0.0.1", edge_port)

        async def forward(
            source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: int | None
        ) -> None:
            passed = 0
            while (limit is None or passed < limit) and (data := await source.read(65536)):
                passed += len(data)
                target.write(data)
                with contextlib.suppress(ConnectionError):
                    await target.drain()
            writer.transport.abort()
            edge_writer.transport.abort()

        async with asyncio.TaskGroup() as tasks:
            up, down = (after_bytes, None) if on_the_way_up else (None, after_bytes)
            tasks.create_task(forward(reader, edge_writer, up))
            tasks.create_task(forward(edge_reader, writer, down))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Profile(
            f"https://127.0.0.1:{port}", profile.ca_file, profile.client_id, profile.client_secret
        )
    finally:
        server.close()


async def test_a_download_over_a_bad_line_arrives_whole(
    stack: RunningStack, store: ArtStore, tmp_path: Path
) -> None:
    stored = await asyncio.to_thread(store.put, CONTENT, filename="large.bin")

    async with cutting(load_profile(stack.home), after_bytes=1_500_000) as bad_line:
        async with AsyncArtStore.from_profile(bad_line) as bad_store:
            await bad_store.get(stored.file_id, tmp_path / "async")
        with ArtStore.from_profile(bad_line) as bad_sync_store:
            await asyncio.to_thread(bad_sync_store.get, stored.file_id, tmp_path / "sync")

    assert (tmp_path / "async").read_bytes() == CONTENT
    assert (tmp_path / "sync").read_bytes() == CONTENT


async def test_an_upload_over_a_bad_line_arrives_whole(
    stack: RunningStack, store: ArtStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "PARTS_BYTES_MIN", 4_000_000)
    (tmp_path / "large").write_bytes(CONTENT)
    details: dict[str, Any] = {"collection": "bad-line", "tags": ["т"], "metadata": {"к": 1}}

    async with cutting(
        load_profile(stack.home), after_bytes=1_500_000, on_the_way_up=True
    ) as bad_line:
        async with AsyncArtStore.from_profile(bad_line) as bad_store:
            first = await bad_store.put(tmp_path / "large", **details)
        with ArtStore.from_profile(bad_line) as bad_sync_store:
            second = await asyncio.to_thread(
                bad_sync_store.put, CONTENT, filename="large", **details
            )

    found = await asyncio.to_thread(
        soon, lambda: len(found := list(store.search(collection="bad-line"))) == 2 and found
    )
    assert {record.file_id for record in found} == {first.file_id, second.file_id}
    for record in found:
        assert record.sha256 == first.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert (record.original_filename, record.tags) == ("large", ("т",))
        assert record.metadata == {"к": 1}
    assert first.receipt is not None


def test_an_upload_goes_on_where_it_stopped(
    store: ArtStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    def stop_late(done_bytes: int, _: int | None) -> None:
        if done_bytes > 3_000_000:
            raise Stop

    monkeypatch.setattr(resumable, "PARTS_BYTES_MIN", 4_000_000)
    (tmp_path / "large").write_bytes(CONTENT)
    resume = Resume()
    with pytest.raises(Stop):
        store.put(tmp_path / "large", progress=stop_late, resume=resume)
    assert resume.url is not None
    ask = Request(
        "POST", resume.url, {"tus-resumable": "1.0.0", "x-http-method-override": "HEAD"}, b""
    )
    assert soon(lambda: int(store.send(ask).headers["upload-offset"]))  # the break was noticed
    told: list[int] = []

    stored = store.put(
        tmp_path / "large", progress=lambda done, _: told.append(done), resume=Resume(resume.url)
    )
    once_more = store.put(tmp_path / "large", resume=Resume(resume.url))

    assert told[0] > 1_000_000
    assert told[-1] == len(CONTENT)
    assert once_more.file_id == stored.file_id
    assert once_more.receipt == stored.receipt


async def test_both_clients_do_the_same_round(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(CONTENT)
    async with AsyncArtStore.from_home(stack.home) as store:
        stored = await store.put(tmp_path / "large", tags=["one"], metadata={"a": [1]})
        record = await store.info(stored.file_id)
        changed = await store.update(stored.file_id, tags=["two"])
        await store.delete(stored.file_id)
        with pytest.raises(FileDeleted):
            await store.get(stored.file_id, tmp_path / "copy")

    assert record.sha256 == stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert record.tags == ("one",)
    assert changed.tags == ("two",)
    assert changed.metadata == {"a": [1]}
    assert list(tmp_path.iterdir()) == [tmp_path / "large"]


def test_lists_and_searches_cross_pages(store: ArtStore) -> None:
    ids = {
        store.put(b"%d" % number, filename=f"{number}.txt", collection="pages").file_id
        for number in range(120)
    }

    assert soon(lambda: {r.file_id for r in store.files("pages")} == ids)
    assert {record.file_id for record in store.search(collection="pages")} == ids
    assert len(list(store.files("pages", limit=7))) == 7


def test_conditions_of_a_search_hold(store: ArtStore) -> None:
    stored = store.put(
        b"x",
        filename="Договор поставки.txt",
        collection="conditions",
        tags=["красный"],
        metadata={"case": "A:7"},
    )
    store.put(b"y", filename="other.txt", collection="conditions")

    def only(**conditions: Any) -> list[str]:
        return [record.file_id for record in store.search(collection="conditions", **conditions)]

    assert soon(lambda: len(only()) == 2)
    for conditions in (
        {"query": "договоры"},
        {"tags": ["красный"]},
        {"metadata": {"case": "A:7"}},
        {"sha256": stored.sha256},
    ):
        assert only(**conditions) == [stored.file_id], conditions


def test_failures_have_their_classes(stack: RunningStack, store: ArtStore) -> None:
    kept = store.put(b"keep", filename="keep.txt", collection="kept", retention="P1Y")
    profile = load_profile(stack.home)

    with pytest.raises(UnknownFile) as caught:
        store.info("0190a0f0-0000-7000-8000-000000000000")
    assert len(str(caught.value.fields["correlation_id"])) == 32
    with pytest.raises((RetentionForbids, ModeForbids)):
        store.delete(kept.file_id)
    with (
        ArtStore(profile.edge_url, profile.ca_file, "cli", "wrong") as stranger,
        pytest.raises(InvalidCredentials),
    ):
        stranger.token()


# --- the command line ------------------------------------------------------------------


@pytest.fixture(scope="module")
def artstore(stack: RunningStack) -> Callable[..., list[dict[str, Any]]]:
    """Runs the command with --json and gives what it printed."""

    def run(*arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
        ran = subprocess.run(
            [sys.executable, "-m", "artstore.cli", *arguments, "--json"],
            env={**os.environ, "ARTSTORE_HOME": str(stack.home)},
            capture_output=True,
            check=False,
        )
        assert ran.returncode == code, ran.stderr.decode()
        return [json.loads(line) for line in ran.stdout.splitlines()]

    return run


def test_a_tree_goes_in_and_comes_out(
    artstore: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    tree = tmp_path / "papers"
    contents = {
        f"{number % 5}/{number}.txt": os.urandom(1 + number * 997 % 90_000) for number in range(200)
    }
    for name, content in contents.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)

    lines = artstore("put", tree, "--collection", "papers", "--tag", "tree")

    assert len(lines) == len(contents)
    for line in lines:
        content = contents[str(Path(line["path"]).relative_to(tree))]
        assert line["sha256"] == hashlib.sha256(content).hexdigest()
    listed = soon(
        lambda: (
            (found := artstore("ls", "--collection", "papers"))
            and len(found) == len(contents)
            and found
        )
    )
    assert {record["metadata"]["path"] for record in listed} == {f"papers/{n}" for n in contents}

    wanted = lines[7]
    artstore("get", wanted["file_id"], "-o", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == Path(wanted["path"]).read_bytes()
    [gone] = artstore("rm", wanted["file_id"], "--yes")
    assert gone["deleted"]
    artstore("info", wanted["file_id"], code=1)


def test_administration_from_the_command_line(
    artstore: Callable[..., list[dict[str, Any]]],
) -> None:
    [created] = artstore("accounts", "create", "scanner-7", "--role", "readonly")
    [rotated] = artstore("accounts", "rotate-secret", "scanner-7", "--yes")
    [suspended] = artstore("accounts", "suspend", "scanner-7", "--yes")

    assert created["client_secret"] != rotated["client_secret"]
    assert suspended["state"] == "suspended"
    assert "scanner-7" in {account["client_id"] for account in artstore("accounts", "list")}
    elements = {element["element_id"] for element in artstore("elements", "list")}
    assert {"edit-1", "rw-1"} <= elements
    assert artstore("catalogue", "status")
    assert artstore("token")[0]["access_token"].count(".") == 2


def test_a_killed_put_goes_on_and_stores_nothing_twice(
    stack: RunningStack, artstore: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Killed at two places: what was under way then may be stored, without anybody knowing."""
    tree = tmp_path / "killed"
    tree.mkdir()
    for number in range(400):
        (tree / f"{number:03}").write_bytes(os.urandom(1 + number * 997 % 90_000))
    command = ["put", str(tree), "--collection", "killed", "--jobs", "8"]

    told = set()
    for lines_until_kill in (40, 90):
        with subprocess.Popen(
            [sys.executable, "-m", "artstore.cli", *command, "--json"],
            env={**os.environ, "ARTSTORE_HOME": str(stack.home)},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            for _ in range(lines_until_kill):
                told.add(json.loads(process.stdout.readline())["file_id"])
            process.kill()
    lines = artstore(*command)

    assert len(lines) == 400
    ids = {line["file_id"] for line in lines}
    assert told < ids
    assert any("already_stored" in line for line in lines)
    listed = soon(lambda: len(found := artstore("ls", "--collection", "killed")) >= 400 and found)
    assert sorted(record["metadata"]["path"] for record in listed) == [
        f"killed/{number:03}" for number in range(400)
    ]
    assert {record["file_id"] for record in listed} == ids


def test_a_benchmark_leaves_nothing_behind(
    artstore: Callable[..., list[dict[str, Any]]],
) -> None:
    [told] = artstore("bench", "ingest", "--files", "50", "--jobs", "4", "--collection", "bench")

    assert (told["files"], told["deleted"]) == (50, 50)
    assert soon(lambda: artstore("ls", "--collection", "bench") == [])


def test_a_killed_put_of_a_large_file_goes_on_where_it_was(
    stack: RunningStack, artstore: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        for _ in range(80):
            file.write(os.urandom(1 << 20))
    remembered = stack.home / "put"

    def addresses() -> list[str]:
        lines = [
            line for path in remembered.glob("*.jsonl") for line in path.read_text().splitlines()
        ]
        found = [json.loads(line) for line in lines if "upload_url" in line]
        return [line["upload_url"] for line in found if line["path"] == "./large.bin"]

    with subprocess.Popen(
        [sys.executable, "-m", "artstore.cli", "put", str(large), "--collection", "large-killed"],
        env={**os.environ, "ARTSTORE_HOME": str(stack.home)},
        stdout=subprocess.DEVNULL,
    ) as process:
        assert soon(addresses)
        process.kill()

    [stored] = artstore("put", large, "--collection", "large-killed")

    with large.open("rb") as file:
        assert stored["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    assert stored["file_id"] in addresses()[0]
    assert len(addresses()) == 1  # the second run has begun no other
    listed = soon(lambda: artstore("ls", "--collection", "large-killed"))
    assert [record["file_id"] for record in listed] == [stored["file_id"]]
