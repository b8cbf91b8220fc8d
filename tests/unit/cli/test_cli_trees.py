import io
import os
from pathlib import Path

import pytest

from artstore.cli.selection import Selection
from artstore.cli.trees import (
    GROUP_BYTES_MAX,
    GROUP_FILES_MAX,
    READ_AHEAD_BYTES_MAX,
    Entry,
    Loaded,
    Skipped,
    next_group,
    walk,
)
from artstore.client import bodies
from artstore.client.bodies import open_content


def relatives(path: Path) -> list[str | None]:
    return [item.relative for item in walk([path]) if isinstance(item, Entry)]


def test_a_tree_is_walked_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "c/d/e"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()

    assert relatives(tmp_path / "tree") == ["tree/a", "tree/b/1", "tree/b/2", "tree/c/d/e"]


def test_a_tree_without_a_name_gets_that_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "file").touch()
    monkeypatch.chdir(tmp_path / "tree" / "deep")

    assert relatives(Path("..")) == ["tree/file"]
    monkeypatch.chdir(tmp_path / "tree")
    assert relatives(Path()) == ["tree/file"]


def test_a_tree_deeper_than_a_path_is_long_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(30):
        Path("d" * 200).mkdir()
        monkeypatch.chdir("d" * 200)
    monkeypatch.chdir(tmp_path)

    (item,) = walk([tmp_path])

    assert isinstance(item, Skipped)
    assert item.reason == "File name too long"


def test_groups_are_bounded(tmp_path: Path) -> None:
    for number in range(2 * GROUP_FILES_MAX + 1):
        (tmp_path / f"{number:04}").write_bytes(b"x")
    found = walk([tmp_path])

    sizes = []
    while group := next_group(found):
        sizes.append(len(group))

    assert sizes == [GROUP_FILES_MAX, GROUP_FILES_MAX, 1]


def test_a_group_holds_bounded_bytes(tmp_path: Path) -> None:
    count = GROUP_BYTES_MAX // READ_AHEAD_BYTES_MAX
    for number in range(count + 1):
        (tmp_path / f"{number:04}").write_bytes(b"x" * READ_AHEAD_BYTES_MAX)

    group = next_group(walk([tmp_path]))

    assert len(group) <= count
    assert all(isinstance(item, Loaded) and item.content is not None for item in group)


@pytest.mark.parametrize("change", ["grown", "shrunk"])
def test_a_file_changed_since_it_was_seen_is_read_as_it_is(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"xx")
    found = list(walk([tmp_path]))
    path.write_bytes(b"xxx" if change == "grown" else b"x")

    (item,) = next_group(iter(found))

    assert isinstance(item, Loaded)
    assert item.content == path.read_bytes()
    assert item.entry.size_bytes == len(item.content)


def test_a_file_written_to_while_it_is_read_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"xx")

    def read_and_write(file: io.FileIO, size_bytes: int) -> bytes:
        content = file.read(size_bytes)
        path.write_bytes(b"other")
        return content

    monkeypatch.setattr(bodies, "_read_at_most", read_and_write)

    (item,) = next_group(walk([tmp_path]))

    assert isinstance(item, Skipped)
    assert (item.code, item.is_failure) == ("digest_mismatch", True)


def test_a_file_with_holes_is_known(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 20)
    (tmp_path / "full").write_bytes(b"x" * (1 << 20))

    items = next_group(walk([tmp_path]))

    sparse = {item.entry.in_root.rpartition("/")[2]: item.is_sparse for item in items}  # type: ignore[union-attr]
    assert sparse == {"full": False, "holes": True}


def test_a_file_that_vanished_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"xx")
    found = list(walk([tmp_path]))
    (tmp_path / "file").unlink()

    (item,) = next_group(iter(found))

    assert isinstance(item, Skipped)
    assert item.is_failure


@pytest.mark.parametrize("size_bytes", [2, READ_AHEAD_BYTES_MAX + 1])
@pytest.mark.parametrize("replacement", ["link", "pipe", "folder"])
def test_a_file_replaced_since_it_was_seen_is_not_read(
    tmp_path: Path, replacement: str, size_bytes: int
) -> None:
    (tmp_path / "secret").write_bytes(b"x" * size_bytes)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * size_bytes)
    found = list(walk([tree]))
    if replacement == "folder":
        (tmp_path / "secret").rename(tmp_path / "file")
        (tree / "file").rename(tmp_path / "aside")
        tree.rmdir()
        tree.symlink_to(".")
        (item,) = next_group(iter(found))
        assert isinstance(item, Skipped)
        assert item.is_failure
        return
    (tree / "file").unlink()
    if replacement == "link":
        (tree / "file").symlink_to(tmp_path / "secret")
    else:
        os.mkfifo(tree / "file")

    (item,) = next_group(iter(found))

    assert isinstance(item, Skipped)
    assert item.is_failure


def test_a_long_file_replaced_when_its_turn_comes_is_not_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * (READ_AHEAD_BYTES_MAX + 1))
    (tmp_path / "secret").write_bytes(b"secret" * READ_AHEAD_BYTES_MAX)
    (item,) = next_group(walk([tree]))
    assert isinstance(item, Loaded)
    (tree / "file").unlink()
    (tree / "file").symlink_to(tmp_path / "secret")

    with pytest.raises(OSError, match="a symbolic link took its place"):
        open_content(item.source())


@pytest.mark.parametrize(
    ("includes", "excludes", "taken"),
    [
        ([], [], {"a.txt", "b.pdf", "d/a.txt", "d/e/c.pdf"}),
        (["*.pdf"], [], {"b.pdf", "d/e/c.pdf"}),
        (["/*.pdf"], [], {"b.pdf"}),
        (["d/*"], [], {"d/a.txt", "d/e/c.pdf"}),
        (["d/*.txt"], [], {"d/a.txt"}),
        (["d/**/*.pdf"], [], {"d/e/c.pdf"}),
        (["e"], [], {"d/e/c.pdf"}),
        ([], ["d"], {"a.txt", "b.pdf"}),
        ([], ["d/e"], {"a.txt", "b.pdf", "d/a.txt"}),
        (["*.txt"], ["d/"], {"a.txt"}),
        (["[!a].*"], [], {"b.pdf", "d/e/c.pdf"}),
        (["?.txt"], [], {"a.txt", "d/a.txt"}),
        (["x*"], [], set()),
    ],
)
def test_patterns_select(
    tmp_path: Path, includes: list[str], excludes: list[str], taken: set[str]
) -> None:
    for name in ("a.txt", "b.pdf", "d/a.txt", "d/e/c.pdf"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()

    found = walk([tmp_path / "tree"], Selection.of(includes, excludes))

    assert {str(item.path).removeprefix(f"{tmp_path}/tree/") for item in found} == taken
