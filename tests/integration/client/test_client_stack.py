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

from artstore.client import ArtStore, AsyncArtStore, load_profile
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
async def cutting(profile: Profile, after_bytes: int) -> AsyncIterator[Profile]:
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
            tasks.create_task(forward(reader, edge_writer, None))
            tasks.create_task(forward(edge_reader, writer, after_bytes))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield Profile(
        f"https://127.0.0.1:{port}", profile.ca_file, profile.client_id, profile.client_secret
    )
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
