"""`artstore receipt verify` as a depositor runs it years later: no profile, no server."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.unit.audit.test_receipts import ISSUER, NOW, RECORD, published

from artstore.core.audit.receipts import SigningKey
from artstore.core.model.file import Digest

DOCUMENT = b"letter of a citizen\n"
KEY = SigningKey()
DEPOSITED = RECORD.model_copy(
    update={
        "size": len(DOCUMENT),
        "digests": (Digest(alg="sha256", value=sha256(DOCUMENT).hexdigest(), computed_at=NOW),),
    }
)
RECEIPT = KEY.sign(DEPOSITED, ISSUER, NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [published(KEY).model_dump()]}))
    (tmp_path / "letter").write_bytes(DOCUMENT)
    (tmp_path / "receipt").write_text(RECEIPT + "\n")
    return tmp_path


def verify(
    folder: Path, receipts: str, *options: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "artstore.cli", "receipt", "verify", receipts, *options]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        [*command, "--jwks", "keys.json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
        input=stdin,
    )


def test_a_true_receipt_and_its_document(folder: Path) -> None:
    done = verify(folder, "receipt", "--document", "letter")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"PROVEN. {ISSUER} has signed on 2026-11-26")
    assert "This document is it, byte for byte." in done.stdout


def test_what_put_printed_is_checked_line_by_line(folder: Path) -> None:
    lines = [
        json.dumps({"path": "a", "receipt": RECEIPT}),
        RECEIPT[:-20] + ("B" if RECEIPT[-20] == "A" else "A") + RECEIPT[-19:],
    ]
    done = verify(folder, "-", "--json", stdin="\n".join(lines))

    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert (first["proven"], first["file_id"]) == (True, RECORD.file_id)
    assert first["document_compared"] is False
    assert (second["proven"], second["sentence"]) == (
        False,
        "the signature of the receipt is false: it was changed",
    )


def test_another_document_is_named(folder: Path) -> None:
    (folder / "letter").write_bytes(DOCUMENT + b"!")
    done = verify(folder, "receipt", "--document", "letter")

    assert done.returncode == 1
    assert done.stdout.startswith("NOT PROVEN. The receipt is true, but for another document")


def test_a_key_that_did_not_count_yet(folder: Path) -> None:
    early = KEY.sign(DEPOSITED, ISSUER, NOW - timedelta(days=1))
    done = verify(folder, "-", stdin=early)

    assert done.returncode == 1
    assert done.stdout.startswith("NOT PROVEN. The receipt was signed at a time")


@pytest.mark.parametrize("text", ["Two\nlines", "", "{}", '{"receipt": null}', '{"receipt"'])
def test_nothing_to_check_is_wrong_usage(folder: Path, text: str) -> None:
    done = verify(folder, "-", stdin=text)

    assert done.returncode == 2
    assert "receipt" in done.stderr
