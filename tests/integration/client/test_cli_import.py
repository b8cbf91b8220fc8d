"""`artstore import tree`: what a list says, each file proven, and going on."""

import csv
import hashlib
import json
import os
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.client.conftest import Artstore
from tests.integration.client.fake_artstore import FakeArtStore, Fault
from tests.integration.client.test_cli_put import FILES, make_tree

from artstore.cli.import_journal import Journal, Version

LIST = """\
path,filename,collection,tags,retention,metadata.case,metadata.заметка
a.txt,Договор.txt,contracts,2026; важно,P10Y,A-7,да
d/b.bin,,,,,,
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_tree(tmp_path / "old", {"a.txt": b"a", "d/b.bin": os.urandom(2 << 20), "not listed": b""})
    (tmp_path / "list.csv").write_text(LIST)
    return tmp_path


def arguments(source: Path, *more: str) -> list[str | Path]:
    report = source / "report"
    named = ["--csv", source / "list.csv", "--report", report, "--json"]
    return ["import", "tree", source / "old", *named, *more]


def summary(source: Path) -> dict[str, dict[str, str]]:
    with (source / "report/summary.csv").open(newline="") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def test_each_file_is_imported_and_proven(
    artstore: Artstore, fake: FakeArtStore, source: Path
) -> None:
    ran = artstore(*arguments(source))

    assert ran.code == 0, ran.err
    rows = summary(source)
    assert set(rows) == {"a.txt", "d/b.bin"}
    for name, row in rows.items():
        sha256 = hashlib.sha256((source / "old" / name).read_bytes()).hexdigest()
        assert row["source_sha256"] == row["stored_sha256"] == sha256
        assert (row["status"], row["equal"]) == ("imported", "True")
    record = fake.files[rows["a.txt"]["file_id"]].record
    assert record["original_filename"] == "Договор.txt"
    assert record["collection"] == "contracts"
    assert record["tags"] == ["2026", "важно"]
    assert record["metadata"] == {"case": "A-7", "заметка": "да"}
    posts = [seen.query for seen in fake.requests("POST", FILES)]
    assert [query["retention"] for query in posts if "retention" in query] == [["P10Y"]]
    assert fake.files[rows["d/b.bin"]["file_id"]].record["original_filename"] == "b.bin"


def test_a_second_run_imports_what_failed_or_changed(
    artstore: Artstore, fake: FakeArtStore, source: Path
) -> None:
    fake.faults = [Fault("POST", FILES, 422, "invalid_metadata")]
    first = artstore(*arguments(source, "--jobs", "1"))
    second = artstore(*arguments(source))
    third = artstore(*arguments(source))

    assert (first.code, second.code, third.code) == (1, 0, 0)
    assert len(fake.files) == 2
    assert "0 files, 0 B, each compared by sha256; 2 imported before" in third.err
    keys = [seen.headers["idempotency-key"] for seen in fake.requests("POST", FILES)]
    assert keys[0] == keys[2] != keys[1]
    (source / "old/a.txt").write_bytes(b"changed")
    assert [line["source"] for line in artstore(*arguments(source)).objects] == ["a.txt"]


def test_a_collection_that_is_not_ours_fails_alone(
    artstore: Artstore, fake: FakeArtStore, source: Path
) -> None:
    fake.faults = [Fault("POST", FILES, 403, "not_permitted")]

    assert artstore(*arguments(source)).code == 1
    assert len(fake.files) == 1


def test_what_was_imported_stays_so_when_it_cannot_be_read(
    artstore: Artstore, fake: FakeArtStore, source: Path
) -> None:
    artstore(*arguments(source))
    (source / "old/a.txt").rename(source / "aside")
    assert artstore(*arguments(source)).code == 1
    (source / "aside").rename(source / "old/a.txt")

    assert artstore(*arguments(source)).code == 0
    assert len(fake.files) == 2


def test_a_dry_run_sends_nothing(artstore: Artstore, fake: FakeArtStore, source: Path) -> None:
    ran = artstore(*arguments(source, "--dry-run"))

    assert ran.code == 0
    assert {line["source"]: line["size"] for line in ran.objects} == {
        "a.txt": 1,
        "d/b.bin": 2 << 20,
    }
    assert fake.seen == []
    assert not (source / "report").exists()


def test_a_false_digest_is_no_import(
    artstore: Artstore, fake: FakeArtStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fake.keep
    monkeypatch.setattr(
        fake,
        "keep",
        lambda content, *names, **more: original(
            content, *names, **{**more, "digests": [{**more["digests"][0], "value": "0" * 64}]}
        ),
    )

    ran = artstore(*arguments(source))

    assert ran.code == 1
    assert {line["error"]["code"] for line in ran.objects} == {"digest_mismatch"}
    assert {row["status"] for row in summary(source).values()} == {"failed"}


def test_what_leads_out_of_the_folder_is_refused(
    artstore: Artstore, fake: FakeArtStore, source: Path
) -> None:
    (source / "secret").write_bytes(b"secret")
    (source / "old/link").symlink_to(source / "secret")
    (source / "old/up").symlink_to(source)
    rows = [
        "path",
        "../secret",
        str(source / "secret"),
        "link",
        "up/secret",
        "gone",
        "d",
        '""',
        "a\0",
    ]
    (source / "list.csv").write_text("\n".join([*rows, "a.txt", "a.txt", "./a.txt"]))

    ran = artstore(*arguments(source))

    assert ran.code == 1
    assert [stored.content for stored in fake.files.values()] == [b"a"]
    assert len([line for line in ran.objects if line["status"] == "failed"]) == 10


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("name\na", "utf-8"),
        ("path,colour\na,red", "utf-8"),
        ("", "utf-8"),
        ("path,metadata.a,metadata.a\na.txt,1,2", "utf-8"),
        ("path,filename\na.txt,a", "utf-16"),
        ("path,filename\na.txt,Договор", "cp1251"),
    ],
)
def test_a_list_that_says_something_else_is_wrong_usage(
    artstore: Artstore, fake: FakeArtStore, source: Path, text: str, encoding: str
) -> None:
    (source / "list.csv").write_text(text, encoding)

    ran = artstore(*arguments(source))

    assert ran.code == 2
    assert "--csv" in ran.err
    assert fake.seen == []


def test_a_torn_line_is_imported_with_the_same_key(
    artstore: Artstore, fake: FakeArtStore, source: Path
) -> None:
    artstore(*arguments(source, "--jobs", "1"))
    report = source / "report/report.jsonl"
    report.write_bytes(report.read_bytes()[:-5])

    ran = artstore(*arguments(source))

    assert ran.code == 0
    keys = [seen.headers["idempotency-key"] for seen in fake.requests("POST", FILES)]
    assert len(keys) == 3
    assert keys[1] == keys[2]
    lines = [line for line in report.read_text().splitlines() if line.endswith("}")]
    assert json.loads(lines[-1])["source"] == "d/b.bin"


def test_the_report_is_not_held_in_memory(tmp_path: Path) -> None:
    """Of a million files it has gigabytes, since each line has a receipt."""
    version = Version(1, "mark")
    with closing(Journal(tmp_path)) as journal:
        tracemalloc.start()
        try:
            for number in range(1000):
                more = {"receipt": "r" * 5000, "file_id": str(number)}
                journal.note(f"source {number}", version, status="imported", **more)
            held_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held_bytes < 500_000
    with closing(Journal(tmp_path)) as again:
        assert again.imported_id("source 999", version) == "999"
        assert again.imported_id("source 999", Version(2, "mark")) is None
        assert again.imported_id("another", version) is None
