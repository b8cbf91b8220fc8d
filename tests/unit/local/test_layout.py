"""What the stack writes before it starts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artstore.core.tlog.notes.keys import VerifierKey
from artstore.local.home import Home
from artstore.local.layout import Layout
from artstore.local.ports import Ports
from artstore.local.stack_programs import WITNESS_NAME, stack_programs

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(Home.at(tmp_path / "home"), Ports.from_base(18000))
    made.write(NOW)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_profile_names_files_that_exist(layout: Layout) -> None:
    profile = json.loads(layout.home.profile_file.read_text())
    assert profile["edge"] == "https://127.0.0.1:18443"
    assert (layout.home.root / profile["ca_file"]).is_file()
    assert (layout.home.root / profile["client_secret_file"]).is_file()
    assert not Path(profile["ca_file"]).is_absolute()


def test_the_plan_names_both_elements_at_their_ports(layout: Layout) -> None:
    plan = json.loads((layout.home.config / "plan.json").read_text())
    urls = {element["element_id"]: element["url"] for element in plan["storage_elements"]}
    assert urls == {"edit-1": "https://127.0.0.1:18010", "rw-1": "https://127.0.0.1:18011"}
    assert Path(plan["admin"]["password_file"]).is_file()


def test_every_process_and_person_has_a_certificate(layout: Layout) -> None:
    for identity in layout.identities:
        assert layout.certificates.certificate(identity.instance) is not None
    assert (layout.home.pki / "operator.crt").is_file()
    assert (layout.home.pki / "monitoring.crt").is_file()


def test_a_second_start_keeps_keys_and_secrets(layout: Layout) -> None:
    before = contents(layout.home.pki), contents(layout.home.secrets)
    layout.write(NOW + timedelta(days=1))
    assert (contents(layout.home.pki), contents(layout.home.secrets)) == before


def test_a_start_after_two_weeks_renews_what_has_expired_and_keeps_the_authority(
    layout: Layout,
) -> None:
    before = contents(layout.home.pki)
    layout.write(NOW + timedelta(days=14))
    after = contents(layout.home.pki)
    same = {name for name in before if before[name] == after[name]}
    assert same == {"ca.crt", "ca.key", "crl.pem", ".lock"}


def test_no_secret_is_in_the_configuration(layout: Layout) -> None:
    written = (
        b"".join(contents(layout.home.config).values()) + layout.home.profile_file.read_bytes()
    )
    for path in layout.home.secrets.iterdir():
        assert path.read_bytes().strip() not in written, path.name


def test_valkey_learns_the_password_only_as_a_digest(layout: Layout) -> None:
    acl = (layout.home.config / "valkey.acl").read_text()
    assert acl.startswith("user default off\n")
    assert layout.secrets.read("valkey") not in acl


def test_the_log_is_told_of_the_witness_of_the_stack(layout: Layout) -> None:
    url, *keys = layout.witnesses_file.read_text().split()
    parsed = [VerifierKey.parse(key) for key in keys]

    assert url == "http://127.0.0.1:18090"
    assert len(parsed) == 2
    assert all(key.algorithm.is_timed for key in parsed)
    assert WITNESS_NAME in {program.name for program in stack_programs(layout)}
    before = layout.witnesses_file.read_text()
    layout.write(NOW)
    assert layout.witnesses_file.read_text() == before


def test_who_names_other_witnesses_gets_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTSTORE_AUDIT_WITNESSES_FILE", "/etc/witnesses")
    layout = Layout(Home.at(tmp_path / "home"), Ports.from_base(18000))
    layout.write(NOW)
    programs = {program.name: program for program in stack_programs(layout)}

    assert WITNESS_NAME not in programs
    assert not layout.witnesses_file.exists()
    admin = programs["admin-1"].environment
    assert admin["ARTSTORE_AUDIT_WITNESSES_FILE"] == "/etc/witnesses"
    assert "ARTSTORE_AUDIT_WITNESS_QUORUM" not in admin
