"""`artstore audit verify` as an auditor runs it: a process without a profile, on a machine where
no ArtStore runs.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.tampering import LINES, LOG, PLACES, SIZE, fitted, spelled
from tests.support.transparency import LOG_KEY, OTHER_WITNESS_KEY, WITNESS_KEY

TRUSTED = ("--key", str(LOG_KEY.verifier), "--witness", str(WITNESS_KEY.verifier))


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return written(tmp_path / "export.jsonl", LINES)


def written(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def verify(*arguments: str | Path) -> Ran:
    command = [sys.executable, "-m", "artstore.cli", "audit", "verify", *map(str, arguments)]
    # No home, no way to any server.
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd="/"
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def verdict(*arguments: str | Path) -> dict[str, Any]:
    ran = verify(*arguments, "--json")
    found: dict[str, Any] = json.loads(ran.out)
    assert ran.code == (0 if found["proven"] else 1)
    return found


def test_a_true_export_is_proven(export: Path) -> None:
    ran = verify(export, *TRUSTED)

    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert "The log artstore.example/audit had 1000 records and has signed that." in ran.out
    assert "The witness witness.example/w1 confirmed it on 2027-01-15 08:00:39 UTC." in ran.out
    assert ran.out.splitlines()[-1] == (
        "PROVEN. Records 0 to 999 are all there, in their order, and exactly what was logged."
    )
    assert verdict(export, *TRUSTED)["witnesses"].keys() == {"witness.example/w1"}


@pytest.mark.parametrize(
    ("change", "first", "kind", "sentence"),
    [
        (lambda line: [line.replace(b"rw-1", b"rw-2")], 417, "changed", "Record 417 was changed"),
        (lambda line: [], 417, "missing", "Record 417 is missing"),
        (lambda line: [line, line], 418, "added", "Something was added before record 418"),
    ],
)
def test_the_first_record_that_is_not_true_is_named(
    tmp_path: Path, change: Any, first: int, kind: str, sentence: str
) -> None:
    place = PLACES[417]
    lines = fitted([*LINES[:place], *change(LINES[place]), *LINES[place + 1 :]])
    forged = written(tmp_path / "forged.jsonl", lines)

    ran = verify(forged, *TRUSTED)
    assert ran.code == 1
    assert ran.out.startswith(f"NOT PROVEN. {sentence}")
    found = verdict(forged, *TRUSTED)
    assert (found["first"], found["defect"]) == (first, kind)


def test_two_exchanged_records_are_said_to_have_moved(tmp_path: Path) -> None:
    one, two = PLACES[10], PLACES[11]
    lines = fitted([*LINES[:one], LINES[two], LINES[one], *LINES[two + 1 :]])

    found = verdict(written(tmp_path / "forged.jsonl", lines), *TRUSTED)
    assert (found["defect"], found["first"]) == ("moved", 10)
    assert found["sentence"] == "Record 11 stands where record 10 belongs."


def test_without_a_witness_it_says_what_that_leaves_open(export: Path) -> None:
    ran = verify(export, "--key", str(LOG_KEY.verifier))

    assert ran.code == 0
    assert "whoever holds the log's key could have written another history" in ran.out


def test_each_witness_that_was_named_has_to_agree(export: Path) -> None:
    both = (*TRUSTED, "--witness", str(OTHER_WITNESS_KEY.verifier))

    assert verdict(export, *both)["defect"] == "unconfirmed"
    assert verdict(export, *both, "--quorum", "1")["proven"]


def test_keys_may_stand_in_files_as_they_are_printed(export: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"# published 2026\nlog      {LOG_KEY.verifier}\n\n")
    (tmp_path / "witness").write_text(f"{WITNESS_KEY.verifier}\n")

    assert verdict(export, "--key", tmp_path / "log", "--witness", tmp_path / "witness")["proven"]


def test_another_history_than_was_kept_is_found(export: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(LOG.notes[3].to_bytes())
    assert verdict(export, *TRUSTED, "--known", kept, "--known", export)["proven"]

    head = orjson.loads(LINES[0])
    shorter = LOG.notes[20].to_bytes().decode()
    size = (20 + 1) * 25
    lines = [spelled({**head, "checkpoint": shorter, "end": size, "size": size}), *LINES[1:]]
    found = verdict(written(tmp_path / "old.jsonl", lines), *TRUSTED, "--known", export)
    assert (found["defect"], found["first"], found["last"]) == ("missing", size, SIZE - 1)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--key", "nonsense"),
        ("--key", str(WITNESS_KEY.verifier), "--key", str(LOG_KEY.verifier)),
        ("--key", str(LOG_KEY.verifier), "--witness", str(LOG_KEY.verifier)),
        (*TRUSTED, "--quorum", "2"),
        (*TRUSTED, "--known", "/etc/hostname"),
    ],
)
def test_wrong_usage_is_no_verdict(export: Path, arguments: tuple[str, ...]) -> None:
    ran = verify(export, *arguments)

    assert ran.code == 2
    assert "PROVEN" not in ran.out


def test_a_file_that_is_no_export_is_not_proven(tmp_path: Path) -> None:
    for content in (b"", b"\n", b"not an export\n", bytes(5000)):
        (tmp_path / "file").write_bytes(content)
        ran = verify(tmp_path / "file", *TRUSTED)
        assert ran.code == 1
        assert ran.out.startswith("NOT PROVEN. ")
        assert "Traceback" not in ran.err
