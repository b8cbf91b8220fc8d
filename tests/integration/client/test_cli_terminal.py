"""At a terminal: bars on stderr, a question before a deletion, and no colour if unwanted."""

import contextlib
import os
import pty
import subprocess
from pathlib import Path

import pytest
from tests.integration.client.fake_artstore import FakeArtStore
from tests.integration.client.test_cli_put import COMMAND, make_tree


def at_terminal(
    command: list[str | Path], environment: dict[str, str], typed: bytes = b""
) -> tuple[int, bytes, bytes]:
    """Exit code, stdout (a pipe) and what the terminal showed."""
    terminal, device = pty.openpty()
    with subprocess.Popen(
        command, stdin=device, stdout=subprocess.PIPE, stderr=device, env=environment
    ) as process:
        os.close(device)
        os.write(terminal, typed)
        shown = b""
        # Linux reports the end of the other side of a terminal as an input/output error.
        with (
            os.fdopen(terminal, "rb", buffering=0) as screen,
            contextlib.suppress(OSError),
        ):
            while chunk := screen.read(4096):
                shown += chunk
        assert process.stdout is not None
        out = process.stdout.read()
    return process.returncode, out, shown


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "ARTSTORE_HOME": str(home), "TERM": "xterm", "COLUMNS": "120"}


def test_an_upload_shows_bars(
    fake: FakeArtStore, environment: dict[str, str], tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {str(number): b"x" * 1000 for number in range(200)})

    code, out, shown = at_terminal([*COMMAND, "put", tree], environment)

    assert code == 0
    assert b"storing" in shown
    assert b"files" in shown
    assert len(out.splitlines()) == 200
    assert b"\x1b" not in out


def test_a_narrow_terminal_gets_one_line(
    fake: FakeArtStore, environment: dict[str, str], tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {str(number): b"x" * 9000 for number in range(200)})

    _, _, shown = at_terminal([*COMMAND, "put", tree], {**environment, "COLUMNS": "60"})

    assert b"storing" in shown
    # Bars of several lines are drawn anew by going up.
    assert shown.count(b"\x1b[1A") <= 2


def test_no_color_is_obeyed(
    fake: FakeArtStore, environment: dict[str, str], tmp_path: Path
) -> None:
    tree = make_tree(tmp_path / "tree", {str(number): b"x" * 1000 for number in range(50)})

    _, _, shown = at_terminal([*COMMAND, "put", tree], {**environment, "NO_COLOR": "1"})

    assert b"storing" in shown
    assert b"\x1b[3" not in shown


@pytest.mark.parametrize(("typed", "code", "deleted"), [(b"y\n", 0, 1), (b"n\n", 1, 0)])
def test_rm_asks(
    fake: FakeArtStore, environment: dict[str, str], typed: bytes, code: int, deleted: int
) -> None:
    file_id = fake.keep(b"x")

    ended, _, shown = at_terminal([*COMMAND, "rm", file_id], environment, typed)

    assert ended == code
    assert b"delete" in shown
    assert len(fake.requests("DELETE", "/files")) == deleted
