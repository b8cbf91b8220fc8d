"""What an institution hands out: an export of the audit log, and the proof of one document. Both
are checked by programs that know nothing of the system that made them.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import Verdict, run_verifier
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.client import ArtStore, AsyncArtStore
from artstore.client.records import PAGE_ITEMS_MAX
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.note import Note

pytestmark = pytest.mark.stack

CONTENT = "Акт приёмки № 7\n".encode() * 3000

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def artstore(stack: RunningStack) -> Run:
    """The command, with --json."""

    def run(*arguments: object, home: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "artstore.cli", *map(str, arguments), "--json"]
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        if home:
            environment["ARTSTORE_HOME"] = str(stack.home)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", env=environment
        )

    return run


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def trusted(store: ArtStore) -> list[str]:
    keys = store.audit.keys()
    assert len(keys.log_keys) >= 2
    assert len(keys.witness_keys) == 2
    assert keys.quorum == 1
    options = [("--key", key) for key in keys.log_keys]
    options += [("--witness", key) for key in keys.witness_keys]
    return [text for option in options for text in option]


@pytest.fixture(scope="module")
def bundle(
    store: ArtStore, artstore: Run, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("bundle")
    stored = store.put(CONTENT, filename="Акт № 7.txt", collection="acts")
    store.get(stored.file_id, folder / "read")
    store.update(stored.file_id, tags=["court"])
    assert stored.receipt is not None
    (folder / "receipt").write_text(stored.receipt)
    order = ("proof", stored.file_id, "-o", folder / "proof.zip", "--receipt", folder / "receipt")
    made = answer(artstore(*order))

    assert made["events"] >= 3
    assert made["receipt"]
    assert (unpacked(folder) / "receipt.jws").read_text() == stored.receipt
    assert len(made["witnesses"]) == 1
    return unpacked(folder), stored.file_id


def unpacked(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "proof.zip") as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def check(bundle: Path, trusted: list[str]) -> Verdict:
    return run_verifier(bundle / "verify.py", *trusted)


def test_a_stranger_can_check_a_document_with_python_and_cryptography(
    bundle: tuple[Path, str], trusted: list[str], tmp_path: Path
) -> None:
    folder, file_id = bundle
    verdict = check(folder, trusted)

    assert verdict.proven, verdict.text
    assert "The document is byte for byte the one that was deposited" in verdict.text
    assert f"file {file_id}) is the one that the log holds, in revision 2" in verdict.text
    for kind in ("file.uploaded succeeded", "file.downloaded", "file.changed"):
        assert kind in verdict.text

    assert "gave a receipt for this document on" in verdict.text

    (document,) = (folder / "document").iterdir()
    assert document.read_bytes() == CONTENT
    document.write_bytes(CONTENT[:-1])
    assert not check(folder, trusted).proven
    document.write_bytes(CONTENT)


def test_a_depositor_checks_a_receipt_without_the_archive(
    artstore: Run, store: ArtStore, bundle: tuple[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "letter").write_bytes(CONTENT)
    put = answer(artstore("put", tmp_path / "letter"))
    (tmp_path / "receipt").write_text(json.dumps(put))
    (tmp_path / "keys").write_bytes(store.receipt_keys())
    order = ("receipt", "verify", tmp_path / "receipt", "--document", tmp_path / "letter")

    for found in (
        answer(artstore(*order)),
        answer(artstore(*order, "--jwks", tmp_path / "keys", home=False)),
    ):
        assert (found["proven"], found["document_compared"]) == (True, True)
        assert (found["file_id"], found["size"]) == (put["file_id"], len(CONTENT))

    again = answer(artstore("receipt", "get", bundle[1]))
    (tmp_path / "again").write_text(again["receipt"])
    assert answer(artstore("receipt", "verify", tmp_path / "again"))["file_id"] == bundle[1]


def test_an_export_is_whole_and_says_where_it_was_changed(
    artstore: Run, trusted: list[str], bundle: tuple[Path, str], tmp_path: Path
) -> None:
    target = tmp_path / "export.jsonl"
    written = answer(artstore("audit", "export", "-o", target))
    found = answer(artstore("audit", "verify", target, *trusted, home=False))
    assert found["proven"]
    assert (found["first"], found["end"]) == (0, written["size"])
    assert len(found["witnesses"]) == 1

    again = artstore("audit", "export", "-o", target)
    assert again.returncode == 1
    assert "there is such a file already" in again.stderr

    lines = target.read_bytes().splitlines(keepends=True)
    place, number = next(
        (place, json.loads(line)["index"])
        for place, line in enumerate(lines)
        if bundle[1].encode() in line
    )
    lines[place] = lines[place].replace(b"succeeded", b"refused", 1)
    target.write_bytes(b"".join(lines))
    forged = artstore("audit", "verify", target, *trusted, home=False)
    assert forged.returncode == 1
    assert json.loads(forged.stdout)["first"] == number


def test_a_state_that_was_kept_is_compared_with_a_later_export(
    artstore: Run, store: ArtStore, trusted: list[str], tmp_path: Path
) -> None:
    kept = tmp_path / "checkpoint"
    kept.write_bytes(store.audit.checkpoint(confirmed=True))
    store.put(b"later", filename="later.txt")
    answer(artstore("audit", "export", "-o", tmp_path / "export.jsonl"))

    arguments = (tmp_path / "export.jsonl", *trusted, "--known", kept)
    assert answer(artstore("audit", "verify", *arguments, home=False))["proven"]


def test_a_timeline_tells_one_files_story(artstore: Run, bundle: tuple[Path, str]) -> None:
    done = artstore("audit", "timeline", bundle[1])
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]

    kinds = [event["kind"] for event in events]
    assert kinds[0] == "file.uploaded"
    assert {"file.downloaded", "file.changed"} <= set(kinds)
    assert {event["file_id"] for event in events} == {bundle[1]}
    deposit = events[0]
    assert deposit["actor"]["token_id"]
    assert deposit["actor"]["services"] == ["edge/edge-1", "ingester/ingester-1"]
    assert "client_address" in deposit["personal"]


def test_a_long_timeline_is_told_to_its_end(store: ArtStore) -> None:
    """Of a file that is read more often than one page has events."""
    stored = store.put(b"popular", filename="popular.txt")
    reads = PAGE_ITEMS_MAX + 5
    for _ in range(reads):
        store.get(stored.file_id, BytesIO())

    def events() -> list[str]:
        return [event.event["kind"] for event in store.audit.timeline(stored.file_id)]

    wait_until(lambda: len(events()) == reads + 1, "the last event")
    assert events() == ["file.uploaded", *["file.downloaded"] * reads]


def test_events_are_found_by_what_they_say(artstore: Run, bundle: tuple[Path, str]) -> None:
    conditions = ("--kind", "file.changed", "--file", bundle[1], "--since", "2026-01-01")
    done = artstore("audit", "events", *conditions, "--outcome", "succeeded")

    (event,) = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert (event["kind"], event["file_id"]) == ("file.changed", bundle[1])


async def test_both_clients_say_the_same(
    stack: RunningStack, store: ArtStore, bundle: tuple[Path, str], tmp_path: Path
) -> None:
    async with AsyncArtStore.from_home(stack.home) as other:
        timeline = [event async for event in other.audit.timeline(bundle[1])]
        found = [event async for event in other.audit.events(file_id=bundle[1], limit=2)]
        assert timeline == list(store.audit.timeline(bundle[1]))
        assert found == list(store.audit.events(file_id=bundle[1], limit=2))
        assert await other.audit.keys() == store.audit.keys()
        proven = await other.audit.proof(timeline[0].index)
        assert (proven.entry, proven.parsed.file_id) == (timeline[0].entry, bundle[1])
        assert (await other.audit.proven_timeline(bundle[1])).record
        assert Checkpoint.parse(Note.parse(await other.audit.checkpoint()).text).size
        made = await other.audit.bundle(bundle[1], tmp_path / "proof.zip")
        assert made.events == len(timeline)
        with (tmp_path / "export").open("w+b") as file:
            size_bytes = await other.audit.export(file, first=0, end=3)
    assert (tmp_path / "export").stat().st_size == size_bytes > 0


def test_an_unknown_document_is_said_to_be_unknown_at_once(artstore: Run, tmp_path: Path) -> None:
    unknown = "01a204ea-028c-75c8-a93c-59d9606ef0c7"
    # Refused once it has a history all the same.
    artstore("rm", unknown, "--yes")

    done = artstore("proof", unknown, "-o", tmp_path / "proof.zip", "--wait", "600")

    assert done.returncode == 1
    assert "unknown_file" in done.stderr


def test_a_deleted_document_leaves_a_proof_of_its_deletion(
    artstore: Run, store: ArtStore, trusted: list[str], tmp_path: Path
) -> None:
    stored = store.put(b"gone soon", filename="gone.txt")
    store.delete(stored.file_id)
    made = answer(artstore("proof", stored.file_id, "-o", tmp_path / "proof.zip"))

    assert made["events"] == 2
    verdict = check(unpacked(tmp_path), trusted)
    assert verdict.proven, verdict.text
    assert "and deleted on" in verdict.text
    assert "gave a receipt for this document on" in verdict.text, "it was given again"


def test_personal_facts_are_erased_and_everything_stays_provable(
    artstore: Run, store: ArtStore, trusted: list[str], tmp_path: Path
) -> None:
    stored = store.put(b"secret name", filename="name.txt")
    wait_until(lambda: list(store.audit.timeline(stored.file_id)), "the event of the deposit")
    order = ("audit", "erase", "--file", stored.file_id, "--reason", "asked for", "--yes")
    assert answer(artstore(*order))["events"] == 1

    (event,) = store.audit.timeline(stored.file_id)
    assert event.personal == {}
    assert event.event["personal"]
    made = answer(artstore("proof", stored.file_id, "-o", tmp_path / "proof.zip"))
    assert made["events"] == 1
    verdict = check(unpacked(tmp_path), trusted)
    assert verdict.proven
    assert "not shown: actor_name" in verdict.text
    assert artstore("audit", "erase", "--reason", "nobody named").returncode == 2


def test_a_witness_that_is_killed_comes_back_and_confirms_what_follows(
    stack: RunningStack, store: ArtStore
) -> None:
    report = stack.process("witness")
    assert report.pid is not None
    os.kill(report.pid, 9)
    before = _size(store.audit.checkpoint())
    store.put(b"while it was away", filename="away.txt")

    wait_until(lambda: _size(store.audit.checkpoint(confirmed=True)) > before, "a confirmation")
    stack.wait_ready("witness")


def test_after_a_rotation_old_and_new_states_are_provable(
    stack: RunningStack, artstore: Run, store: ArtStore, trusted: list[str], tmp_path: Path
) -> None:
    before = tmp_path / "before.jsonl"
    answer(artstore("audit", "export", "-o", before))
    assert len(answer(artstore("audit", "rotate-keys", "--yes"))["retired"]) == 2
    wait_until(lambda: len(store.audit.keys().log_keys) == 4, "new keys")
    witness = stack.process("witness").pid
    stored = store.put(b"signed anew", filename="anew.txt")
    answer(artstore("proof", stored.file_id, "-o", tmp_path / "proof.zip"))

    assert stack.process("witness").pid == witness, "it learnt the log's keys while it ran"
    keys = [text for key in store.audit.keys().log_keys for text in ("--key", key)]
    assert not check(unpacked(tmp_path), trusted).proven
    assert check(tmp_path / "unpacked", [*keys, *trusted[trusted.index("--witness") :]]).proven
    assert answer(artstore("audit", "verify", before, *trusted, home=False))["proven"]


def _size(note: bytes) -> int:
    return Checkpoint.parse(Note.parse(note).text).size
