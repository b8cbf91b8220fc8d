"""`artstore put` once more: what is stored already, what is only asked, what was changed."""

import os
from pathlib import Path

import pytest
from tests.integration.client.conftest import Artstore
from tests.integration.client.fake_artstore import FakeArtStore, Fault
from tests.integration.client.test_cli_put import FILES, make_tree

from artstore.cli.trees import READ_AHEAD_BYTES_MAX


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    large = os.urandom(READ_AHEAD_BYTES_MAX + 1)
    return make_tree(tmp_path / "tree", {"a": b"a", "d/b": b"bb", "large": large})


def test_a_second_run_stores_nothing(artstore: Artstore, fake: FakeArtStore, tree: Path) -> None:
    first = artstore("put", tree, "--json")
    second = artstore("put", tree, "--json")

    assert second.code == 0
    assert "3 stored already" in second.err
    assert len(fake.requests("POST", FILES)) == 3
    ids = {line["path"]: line["file_id"] for line in first.objects}
    assert {line["path"]: line["file_id"] for line in second.objects} == ids
    assert all(line["already_stored"] for line in second.objects)


def test_only_what_changed_is_stored(artstore: Artstore, fake: FakeArtStore, tree: Path) -> None:
    artstore("put", tree)
    (tree / "a").write_bytes(b"changed")
    (tree / "new").write_bytes(b"new")

    ran = artstore("put", tree, "--json")

    stored = [line["path"] for line in ran.objects if "already_stored" not in line]
    assert stored == [str(tree / "a"), str(tree / "new")]


def test_again_stores_everything(artstore: Artstore, fake: FakeArtStore, tree: Path) -> None:
    artstore("put", tree)

    artstore("put", tree, "--again")

    assert len(fake.files) == 6


def test_what_failed_is_tried_with_the_same_key(
    artstore: Artstore, fake: FakeArtStore, tree: Path
) -> None:
    fake.faults = [Fault("POST", FILES, 422, "not_scannable") for _ in range(3)]
    first = artstore("put", tree)
    second = artstore("put", tree)

    assert (first.code, second.code) == (1, 0)
    keys = [seen.headers["idempotency-key"] for seen in fake.requests("POST", FILES)]
    assert sorted(keys[:3]) == sorted(keys[3:])


def test_a_used_key_is_replaced(artstore: Artstore, fake: FakeArtStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    fake.faults = [Fault("POST", FILES, 422, "idempotency_key_reused")]

    ran = artstore("put", tmp_path / "file")

    assert ran.code == 0
    keys = {seen.headers["idempotency-key"] for seen in fake.requests("POST", FILES)}
    assert len(keys) == 2


def test_a_dry_run_sends_nothing(artstore: Artstore, fake: FakeArtStore, tree: Path) -> None:
    (tree / "gone").symlink_to("nowhere")

    ran = artstore("put", tree, "--dry-run", "--json", "--exclude", "d")

    assert ran.code == 0
    assert {line["path"]: line["size"] for line in ran.objects} == {
        str(tree / "a"): 1,
        str(tree / "large"): READ_AHEAD_BYTES_MAX + 1,
    }
    assert "would store 2 files, 64.0 KiB; nothing was sent; 1 skipped" in ran.err
    assert fake.seen == []
    assert artstore("put", tree, "--json").err.count("stored already") == 0


def test_a_dry_run_knows_what_is_stored(artstore: Artstore, fake: FakeArtStore, tree: Path) -> None:
    artstore("put", tree)
    (tree / "new").write_bytes(b"new")

    ran = artstore("put", tree, "--dry-run")

    assert ran.out == f"       3 B  {tree / 'new'}\n"
    assert "3 stored already" in ran.err


def test_by_checksum_the_archive_is_asked(
    artstore: Artstore, fake: FakeArtStore, tree: Path
) -> None:
    large = fake.keep((tree / "large").read_bytes())
    file_id = fake.keep(b"a")

    asked = artstore("put", tree, "--checksum", "--dry-run", "--json")
    ran = artstore("put", tree, "--checksum", "--json")

    assert [line["path"] for line in asked.objects if "would_store" in line] == [str(tree / "d/b")]
    known = {line["path"]: line["file_id"] for line in ran.objects if "already_stored" in line}
    assert known == {str(tree / "a"): file_id, str(tree / "large"): large}
    assert len(fake.requests("POST", FILES)) == 1


def test_a_sparse_file_is_said(artstore: Artstore, fake: FakeArtStore, tmp_path: Path) -> None:
    with (tmp_path / "disk").open("wb") as file:
        file.truncate(2 << 20)

    ran = artstore("put", tmp_path / "disk")

    assert "disk: stored with its full size, 2.0 MiB" in ran.err
    (stored,) = fake.files.values()
    assert stored.content == bytes(2 << 20)


def test_a_file_that_changes_while_it_is_sent_fails_alone(
    artstore: Artstore, fake: FakeArtStore, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artstore.cli import put_files

    read = put_files.open_content

    def read_and_change(source: object) -> object:
        content = read(source)  # type: ignore[arg-type]
        (tree / "large").write_bytes(os.urandom(2 << 20))
        return content

    (tree / "large").write_bytes(os.urandom(2 << 20))
    monkeypatch.setattr(put_files, "open_content", read_and_change)

    ran = artstore("put", tree, "--json")

    assert ran.code == 1
    errors = {line["path"]: line["error"]["code"] for line in ran.objects if "error" in line}
    assert errors == {str(tree / "large"): "digest_mismatch"}
    assert len(fake.files) == 2
