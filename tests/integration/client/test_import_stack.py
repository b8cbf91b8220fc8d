"""`artstore import` against the whole system."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.client import ArtStore
from artstore.core.audit.receipts import KeySet

pytestmark = pytest.mark.stack


def test_a_killed_import_goes_on_and_proves_each_file(stack: RunningStack, tmp_path: Path) -> None:
    names = [f"{number:03}.bin" for number in range(200)]
    (tmp_path / "old").mkdir()
    for number, name in enumerate(names):
        (tmp_path / "old" / name).write_bytes(os.urandom(1 + number * 997 % 90_000))
    rows = [f"{name},moved,{name}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["path,collection,metadata.old", *rows]))
    report = tmp_path / "report"
    command = [sys.executable, "-m", "artstore.cli", "import", "tree", str(tmp_path / "old")]
    command += ["--csv", str(tmp_path / "list.csv"), "--report", str(report), "--json"]
    environment = {**os.environ, "ARTSTORE_HOME": str(stack.home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.kill()

    subprocess.run(command, env=environment, check=True, capture_output=True)

    with (report / "summary.csv").open(newline="") as file:
        proven = {row["source"]: row for row in csv.DictReader(file)}
    assert sorted(proven) == names
    lines = [json.loads(line) for line in (report / "report.jsonl").read_text().splitlines()]
    with ArtStore.from_home(stack.home) as store:
        keys = KeySet.parse(store.receipt_keys())
        for name, row in proven.items():
            sha256 = hashlib.sha256((tmp_path / "old" / name).read_bytes()).hexdigest()
            assert row["source_sha256"] == row["stored_sha256"] == sha256
        for line in lines:
            if line["status"] == "imported":
                assert keys.verify(line["receipt"]).file_id == line["file_id"]
        # The file id follows from the key, so a file stored twice has two ids.
        wait_until(lambda: len(list(store.files("moved"))) >= len(names), "the catalogue")
        listed = {record.file_id for record in store.files("moved")}
    assert listed == {row["file_id"] for row in proven.values()}
