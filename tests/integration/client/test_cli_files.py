"""`get`, `ls`, `search`, `info`, `rm`, `token`, `login` against a server."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.integration.client.conftest import Artstore
from tests.integration.client.fake_artstore import CLIENT_SECRET, FakeArtStore, Fault
from tests.integration.client.test_cli_put import COMMAND
from tests.support.pki import Pki

CONTENT = os.urandom(300_000)
UNKNOWN = "0190a0f0-0000-7000-8000-000000000000"


def test_get_names_the_file_as_it_was(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file_id = fake.keep(CONTENT, "../Отчёт 1.pdf")

    ran = artstore("get", file_id)

    assert ran.code == 0
    assert ran.out == "_._Отчёт 1.pdf\n"
    assert (tmp_path / "_._Отчёт 1.pdf").read_bytes() == CONTENT


def test_get_never_replaces_what_was_not_named(
    artstore: Artstore, fake: FakeArtStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter.txt").write_text("mine")
    file_id = fake.keep(CONTENT, "letter.txt")

    ran = artstore("get", file_id)

    assert ran.code == 1
    assert "letter.txt: the file exists" in ran.err
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_get_to_a_file_replaces_it(artstore: Artstore, fake: FakeArtStore, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("old")
    file_id = fake.keep(CONTENT)

    ran = artstore("get", file_id, "-o", tmp_path / "copy", "--json")

    assert ran.objects[0]["path"] == str(tmp_path / "copy")
    assert ran.objects[0]["size"] == len(CONTENT)
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_get_into_a_folder(artstore: Artstore, fake: FakeArtStore, tmp_path: Path) -> None:
    file_id = fake.keep(CONTENT, "letter.txt")

    artstore("get", file_id, "-o", tmp_path)

    assert (tmp_path / "letter.txt").read_bytes() == CONTENT


def test_get_to_standard_output(fake: FakeArtStore, home: Path) -> None:
    file_id = fake.keep(CONTENT)

    ran = subprocess.run(
        [*COMMAND, "get", file_id, "-o", "-"],
        capture_output=True,
        env={**os.environ, "ARTSTORE_HOME": str(home)},
        check=True,
    )

    assert ran.stdout == CONTENT


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_an_unknown_file_fails(artstore: Artstore, tmp_path: Path, json_option: list[str]) -> None:
    ran = artstore("get", UNKNOWN, "-o", tmp_path / "copy", *json_option)

    assert ran.code == 1
    assert ran.out == ""
    assert "unknown_file" in ran.err
    assert "correlation id" in ran.err


def test_ls_prints_newest_first(artstore: Artstore, fake: FakeArtStore) -> None:
    ids = [fake.keep(b"x", f"{number}.txt") for number in range(3)]

    ran = artstore("ls", "--limit", "2", "--json")

    assert [line["file_id"] for line in ran.objects] == [ids[2], ids[1]]
    assert len(ran.objects[0]["sha256"]) == 64


def test_ls_hides_what_would_move_the_cursor(artstore: Artstore, fake: FakeArtStore) -> None:
    fake.keep(b"x", "a\n\x1b[2J\u202eb")

    ran = artstore("ls")

    assert ran.out.endswith("a\\n\\x1b[2J\\u202eb\n")


def test_search_passes_every_condition(artstore: Artstore, fake: FakeArtStore) -> None:
    ran = artstore(
        "search", "отчёт", "--tag", "a", "--meta", "k=v", "--collection", "c",
        "--uploaded-after", "2026-01-02",
    )  # fmt: skip

    assert ran.code == 0
    query = fake.requests("GET", "/search")[0].query
    assert query["q"] == ["отчёт"]
    assert query["meta"] == ["k:v"]
    assert query["uploaded_after"] == ["2026-01-02T00:00:00+00:00"]


def test_of_an_archived_file_one_learns_what_to_do(artstore: Artstore, fake: FakeArtStore) -> None:
    file_id = fake.keep(CONTENT)
    where = {"restore": f"/api/v1/files/{file_id}/restore"}
    fake.faults = [Fault("GET", "/content", 409, "file_archived", fields=where)]

    ran = artstore("get", file_id, "-o", "-")

    assert ran.code == 1
    assert ran.err.splitlines()[-1] == f"Have it brought: artstore restore {file_id} --wait"


def test_info_shows_the_record(artstore: Artstore, fake: FakeArtStore) -> None:
    file_id = fake.keep(b"x", "letter.txt")

    assert artstore("info", file_id, "--json").objects[0]["original_filename"] == "letter.txt"
    copies = [{"element_id": "edit-1", "revision": 1, "state": "present"}]
    fake.objects[f"/api/v1/files/{file_id}/copies"] = {"items": copies, "next_cursor": None}
    shown = artstore("info", file_id).out
    assert "letter.txt" in shown
    assert "edit-1 (present)" in shown


def test_rm_needs_a_yes_without_a_terminal(artstore: Artstore, fake: FakeArtStore) -> None:
    file_id = fake.keep(b"x")

    ran = artstore("rm", file_id)

    assert ran.code == 2
    assert fake.requests("DELETE", "/files") == []


def test_rm_goes_on_after_a_refusal(artstore: Artstore, fake: FakeArtStore) -> None:
    ids = [fake.keep(b"x"), fake.keep(b"y")]
    fake.faults = [Fault("DELETE", "/files", 409, "retention_forbids")]

    ran = artstore("rm", *ids, "--yes", "--json")

    assert ran.code == 1
    assert ran.objects[0]["error"]["code"] == "retention_forbids"
    assert ran.objects[1]["deleted"]["by"] == "cli"


def test_token_prints_a_token(artstore: Artstore, fake: FakeArtStore) -> None:
    assert artstore("token").out.strip() == fake.tokens[0]
    assert artstore("token", "--json").objects[0]["access_token"] == fake.tokens[1]


def test_login_keeps_the_profile(
    artstore: Artstore,
    fake: FakeArtStore,
    pki: Pki,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "secret").write_text(CLIENT_SECRET)
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.delenv("ARTSTORE_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    ran = artstore(
        "login", "--edge", fake.url, "--client-id", "cli", "--ca-file", pki.ca_file,
        "--secret-file", tmp_path / "secret",
    )  # fmt: skip

    assert ran.code == 0
    folder = tmp_path / "config" / "artstore"
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert CLIENT_SECRET not in ran.out + ran.err
    assert artstore("ls").code == 0


def test_login_refuses_a_wrong_secret(
    artstore: Artstore,
    fake: FakeArtStore,
    pki: Pki,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "secret").write_text("wrong")
    (tmp_path / "secret").chmod(0o600)

    ran = artstore(
        "login", "--edge", fake.url, "--client-id", "cli", "--ca-file", pki.ca_file,
        "--secret-file", tmp_path / "secret",
    )  # fmt: skip

    assert ran.code == 1
    assert not (tmp_path / "config").exists()


def test_a_secret_open_to_others_is_refused(artstore: Artstore, home: Path) -> None:
    (home / "secret").chmod(0o644)

    ran = artstore("token")

    assert ran.code == 1
    assert "chmod 600" in ran.err


def test_an_answer_of_the_api_is_printed(artstore: Artstore, fake: FakeArtStore) -> None:
    followed = {"element_id": "edit-1", "state": "following", "files": {"present": 7}}
    catalogue = {"rebuilding": False, "elements": [followed]}
    fake.objects["/api/v1/catalogue"] = catalogue
    element = {"element_id": "edit-1", "state": "following", "trouble": None, "behind": 0}
    health = {"info": None, "copies_damaged": 0, "copies_missing": 0, "drain": "off"}
    fake.objects["/api/v1/storage-elements:status"] = {
        "items": [{**element, **health}],
        "next_cursor": None,
    }
    fake.objects["/api/v1/service-accounts"] = {"items": [], "next_cursor": None}

    assert artstore("catalogue", "status", "--json").objects == [catalogue]
    assert re.search(r"edit-1 +following +7", artstore("catalogue", "status").out)
    assert artstore("elements", "list", "--json").objects[0]["element_id"] == "edit-1"
    assert "edit-1" in artstore("elements", "list").out
    assert artstore("accounts", "list", "--json").out == ""
    assert artstore("catalogue", "rebuild").code == 2


def test_accounts_are_changed(artstore: Artstore, fake: FakeArtStore) -> None:
    path = "/api/v1/service-accounts"
    for route in (path, f"{path}/scanner", f"{path}/scanner/rotate-secret"):
        fake.objects[route] = {"client_id": "scanner", "client_secret": "s"}

    created = artstore("accounts", "create", "scanner", "--role", "readonly", "--json")
    rotated = artstore("accounts", "rotate-secret", "scanner", "--yes", "--json")
    suspended = artstore("accounts", "suspend", "scanner", "--yes", "--json")

    assert [ran.code for ran in (created, rotated, suspended)] == [0, 0, 0]
    asked = [(seen.method, seen.path) for seen in fake.seen if "accounts" in seen.path]
    assert asked == [
        ("POST", path),
        ("POST", f"{path}/scanner/rotate-secret"),
        ("DELETE", f"{path}/scanner"),
    ]
    sent = json.loads(fake.bodies[path])
    assert (sent["client_id"], sent["role"]) == ("scanner", "readonly")


def restore_of(file_id: str, state: str, **more: str) -> dict[str, object]:
    return {"file_id": file_id, "state": state, "job_id": 7, **more}


def test_restore_asks_and_tells_what_to_do_next(artstore: Artstore, fake: FakeArtStore) -> None:
    file_id = fake.keep(CONTENT)
    path = f"/api/v1/files/{file_id}/restore"
    fake.objects[path] = restore_of(file_id, "pending", trouble="unavailable: no archive")

    ran = artstore("restore", file_id)

    assert (ran.code, "on its way (unavailable: no archive)" in ran.err) == (0, True)
    assert len(fake.requests("POST", path)) == 1
    fake.objects[path] = restore_of(file_id, "ready", expires_at="2026-12-27T10:00:00Z")
    ran = artstore("restore", file_id, "--wait", "--json")
    assert (ran.code, ran.objects[0]["state"]) == (0, "ready")
    ran = artstore("restore", file_id)
    assert f"until 2026-12-27 10:00 UTC: artstore get {file_id}" in ran.err


@pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
def test_a_restore_that_came_to_nothing_fails(
    artstore: Artstore, fake: FakeArtStore, state: str
) -> None:
    file_id = fake.keep(CONTENT)
    fake.objects[f"/api/v1/files/{file_id}/restore"] = restore_of(
        file_id, state, trouble="file_damaged: it is not what was stored"
    )

    ran = artstore("restore", file_id)

    assert (ran.code, file_id in ran.err) == (1, True)
