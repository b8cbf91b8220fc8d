import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from artstore.cli.main import app
from artstore.cli.output import print_fields, print_table


def test_fields_are_shown_without_the_notation_of_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_fields(
        {
            "file_id": "1",
            "digests": [{"alg": "sha256", "value": "8f"}, {"alg": "sha512", "value": "9a"}],
            "uploaded_at": "2026-11-26T18:35:07.013524Z",
            "retention": {"policy": "P10Y", "retain_until": "2036-11-26T18:35:07+00:00"},
            "tags": ["2026", "договор"],
            "restricted": False,
            "copies": [],
            "title": "",
            "used": 0,
        }
    )

    assert capsys.readouterr().out.splitlines() == [
        "file_id                 1",
        "digests                 alg sha256  value 8f",
        "digests                 alg sha512  value 9a",
        "uploaded_at             2026-11-26 18:35:07 UTC",
        "retention.policy        P10Y",
        "retention.retain_until  2036-11-26 18:35:07 UTC",
        "tags                    2026, договор",
        "restricted              no",
        "used                    0",
    ]


def test_a_table_tells_nothing_from_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"of": "a", "files": 0, "quota": None}], ("of", "files", "quota"))

    assert capsys.readouterr().out.splitlines() == ["of  files  quota", "a   0"]


def test_an_interrupt_before_the_command_is_known_leaves_no_traceback() -> None:
    interrupted = (
        "import builtins, os, signal, sys\n"
        "from artstore.cli.__main__ import main\n"
        "original = builtins.__import__\n"
        "def late(name, *rest):\n"
        "    if name == 'typer':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return original(name, *rest)\n"
        "builtins.__import__ = late\n"
        "main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", interrupted], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr) == (130, "interrupted\n")


def test_a_rotation_of_a_stopped_stack_begins_nothing(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["rotate", "--home", str(tmp_path)])

    assert ran.exit_code == 1
    assert "Start it: artstore up" in ran.output
