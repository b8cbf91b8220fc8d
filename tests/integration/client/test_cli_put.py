"""`artstore put` against a server: trees, what is skipped, what fails, what is printed."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.client.conftest import Artstore
from tests.integration.client.fake_artstore import FakeArtStore, Fault

from artstore.cli.output import READER_GONE
from artstore.cli.put_files import UNAVAILABLE_IN_A_ROW_MAX
from artstore.cli.trees import GROUP_FILES_MAX, READ_AHEAD_BYTES_MAX

FILES = "/api/v1/files"
COMMAND = [sys.executable, "-m", "artstore.cli"]


def make_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_tree_is_stored_whole(artstore: Artstore, fake: FakeArtStore, tmp_path: Path) -> None:
    contents = {f"{n % 7}/{n}.txt": os.urandom(n * 10) for n in range(2 * GROUP_FILES_MAX)}
    contents["large"] = os.urandom(READ_AHEAD_BYTES_MAX + 1)
    tree = make_tree(tmp_path / "docs", contents)

    ran = artstore("put", tree, "--json", "--tag", "a", "--tag", "b", "--meta", "k=v=w")

    assert ran.code == 0
    stored = {line["path"]: line for line in ran.objects}
    assert len(stored) == len(contents)
    for name, content in contents.items():
        line = stored[str(tree / name)]
        assert line["sha256"] == hashlib.sha256(content).hexdigest()
        assert line["size"] == len(content)
        record = fake.files[line["file_id"]].record
        assert record["metadata"] == {"k": "v=w", "path": f"docs/{name}"}
        assert record["tags"] == ["a", "b"]
    assert f"stored {len(contents)} files" in ran.err


def test_a_file_alone_has_no_path(artstore: Artstore, fake: FakeArtStore, tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(b"x")

    ran = artstore("put", tmp_path / "letter", "--name", "Письмо")

    file_id, path = ran.out.split()
    assert path == str(tmp_path / "letter")
    assert fake.files[file_id].record["original_filename"] == "Письмо"
    assert fake.files[file_id].record["metadata"] == {}


def test_links_and_special_files_are_noted(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {"real": b"x"})
    (tree / "link").symlink_to("real")
    (tree / "circle").symlink_to(".")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))

        ran = artstore("put", tree, "--json")

    assert ran.code == 0
    assert [line["path"] for line in ran.objects] == [str(tree / "real")]
    assert ran.err.count("skipped:") == 4
    assert "4 skipped" in ran.err


def test_a_link_that_is_named_is_followed(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path
) -> None:
    make_tree(tmp_path / "tree", {"real": b"x"})
    (tmp_path / "link").symlink_to("tree")

    ran = artstore("put", tmp_path / "link", tmp_path / "link" / "real", "--json")

    assert ran.code == 0
    paths = [content.record["metadata"].get("path") for content in fake.files.values()]
    assert sorted(paths, key=str) == [None, "link/real"]


def test_what_cannot_be_read_fails_alone(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path
) -> None:
    (tmp_path / "letter").write_bytes(b"x")

    ran = artstore("put", tmp_path / "gone", tmp_path / "letter", "--json")

    assert ran.code == 1
    by_path = {line["path"]: line for line in ran.objects}
    assert by_path[str(tmp_path / "gone")]["error"]["code"] == "unreadable"
    assert "file_id" in by_path[str(tmp_path / "letter")]
    assert "1 failed" in ran.err


def test_a_refused_file_fails_alone(artstore: Artstore, fake: FakeArtStore, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"a": b"a", "b": b"b"})
    fake.faults = [Fault("POST", FILES, 422, "invalid_metadata")]

    ran = artstore("put", tree, "--json")

    assert ran.code == 1
    errors = [line["error"] for line in ran.objects if "error" in line]
    assert [error["code"] for error in errors] == ["invalid_metadata"]
    assert len(errors[0]["correlation_id"]) == 32
    assert len(fake.files) == 1


def test_a_missing_permission_ends_it_all(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {str(number): b"x" for number in range(50)})
    fake.faults = [Fault("POST", FILES, 403, "not_permitted") for _ in range(1000)]

    ran = artstore("put", tree, "--jobs", "2")

    assert ran.code == 1
    assert "not_permitted" in ran.err
    assert len(fake.requests("POST", FILES)) <= 4


def test_an_absent_server_ends_it_at_last(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path
) -> None:
    count = 2 * UNAVAILABLE_IN_A_ROW_MAX
    tree = make_tree(tmp_path / "tree", {str(number): b"x" for number in range(count)})
    fake.faults = [Fault("POST", FILES, 503) for _ in range(100 * count)]

    ran = artstore("put", tree, "--json")

    assert ran.code == 1
    assert len(ran.objects) < count


def test_a_name_that_is_not_unicode_is_stored(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff"))).write_bytes(b"x")

    ran = artstore("put", folder, "--json")

    assert ran.code == 0
    (stored,) = fake.files.values()
    assert stored.record["original_filename"] == "bad�"
    assert os.fsencode(ran.objects[0]["path"]).endswith(b"bad\xff")


def test_escape_sequences_do_not_reach_the_terminal(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path
) -> None:
    (tmp_path / "\x1b[2Jname\n").write_bytes(b"x")

    ran = artstore("put", tmp_path / "\x1b[2Jname\n")

    assert "\\x1b[2Jname\\n" in ran.out
    assert "\x1b" not in ran.out
    assert ran.out.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["put"],
        ["put", "-"],
        ["put", ""],
        ["put", ".", "--meta", "path=mine"],
        ["import", "bucket", "s3://b", "--report", "r", "--meta", "path=mine"],
        ["put", "a", "b", "--name", "c"],
        ["put", "a", "--meta", "novalue"],
        ["put", "a", "--jobs", "0"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_2(artstore: Artstore, arguments: list[str]) -> None:
    ran = artstore(*arguments)

    assert ran.code == 2
    assert ran.out == ""


def test_wrong_credentials_are_one_failure(artstore: Artstore, home: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"a": b"a", "b": b"b"})
    (home / "secret").write_text("wrong")

    ran = artstore("put", tree)

    assert ran.code == 1
    assert ran.err.count("artstore: invalid_credentials") == 1


def test_no_profile_is_explained(
    artstore: Artstore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ARTSTORE_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    ran = artstore("put", tmp_path)

    assert ran.code == 1
    assert "run `artstore up` or `artstore login`" in ran.err


def test_an_absent_server_is_explained(artstore: Artstore, home: Path) -> None:
    profile = json.loads((home / "profile.json").read_text())
    (home / "profile.json").write_text(json.dumps({**profile, "edge": "https://127.0.0.1:9"}))

    ran = artstore("ls")

    assert ran.code == 1
    assert "no connection to https://127.0.0.1:9" in ran.err
    assert "artstore status" in ran.err


# --- as a process: pipes and signals ---------------------------------------------------


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "ARTSTORE_HOME": str(home)}


def test_standard_input_is_stored(fake: FakeArtStore, environment: dict[str, str]) -> None:
    ran = subprocess.run(
        [*COMMAND, "put", "-", "--name", "pipe", "--json"],
        input=b"from a pipe",
        capture_output=True,
        env=environment,
        check=True,
    )

    stored = json.loads(ran.stdout)
    assert stored["path"] == "-"
    assert fake.files[stored["file_id"]].content == b"from a pipe"


def test_an_interrupt_ends_it_cleanly(
    fake: FakeArtStore, environment: dict[str, str], tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {str(number): b"x" for number in range(20)})
    fake.faults = [Fault("POST", FILES, 503, headers={"retry-after": "30"}) for _ in range(100)]
    with subprocess.Popen(
        [*COMMAND, "put", tree], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        while not fake.requests("POST", FILES):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert err.splitlines()[-1] == b"interrupted"
    assert b"Traceback" not in err


def test_a_closed_pipe_is_no_drama(
    fake: FakeArtStore, environment: dict[str, str], tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {str(number): b"x" for number in range(300)})
    with subprocess.Popen(
        [*COMMAND, "put", tree], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()

    assert process.returncode == READER_GONE
    assert b"Traceback" not in err
    assert b"Exception" not in err
    # What is stored has not failed because nobody reads on.
    assert b"failed" not in err


def test_a_full_disk_behind_stdout_is_one_failure(
    fake: FakeArtStore, environment: dict[str, str], tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {str(number): b"x" for number in range(20)})

    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*COMMAND, "put", tree],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment,
            check=False,
        )

    assert ran.returncode == 1
    assert ran.stderr.count(b"standard output: No space left on device") == 1
    assert b"failed" not in ran.stderr
    assert b"Exception" not in ran.stderr


@pytest.mark.parametrize("encoding", ["ascii", "koi8-r"])
def test_a_name_that_the_terminal_cannot_show_is_escaped(
    fake: FakeArtStore, environment: dict[str, str], encoding: str
) -> None:
    fake.keep(b"x", filename="Письмо № 1é.txt")

    for options in ([], ["--json"]):
        ran = subprocess.run(
            [*COMMAND, "ls", *options],
            capture_output=True,
            env={**environment, "PYTHONIOENCODING": encoding},
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert rb"\u2116 1" in ran.stdout or "№".encode("koi8-r", "replace") in ran.stdout
        if options:
            assert json.loads(ran.stdout.decode(encoding))["original_filename"] == "Письмо № 1é.txt"
