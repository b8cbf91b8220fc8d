"""What the module processes are told."""

from pathlib import Path

import pytest

from artstore.core.tls import TlsFiles
from artstore.local.modules import ELEMENTS, base_environment, module_environment, modules
from artstore.local.ports import Ports

TLS = TlsFiles(Path("/x/a.crt"), Path("/x/a.key"), Path("/x/ca.crt"))


def test_each_process_has_a_name_and_a_port_of_its_own() -> None:
    found = modules(Ports.from_base())
    assert list(found) == ["admin-1", "edit-1", "rw-1", "ingester-1", "query-1"]
    assert len({module.port for module in found.values()}) == len(found)
    assert found["edit-1"].identity.uri == "spiffe://artstore/storage/edit-1"
    assert set(ELEMENTS) <= set(found)


def test_a_module_is_told_by_variables_with_one_prefix() -> None:
    module = modules(Ports.from_base())["edit-1"]
    environment = module_environment(module, TLS, {"element_id": "edit-1"})
    assert environment["ARTSTORE_PROFILE"] == "production"
    assert environment["ARTSTORE_PORT"] == "8010"
    assert environment["ARTSTORE_TLS_KEY_FILE"] == "/x/a.key"
    assert environment["ARTSTORE_ELEMENT_ID"] == "edit-1"


def test_what_the_stack_decides_wins_over_the_callers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARTSTORE_PORT", "1")
    monkeypatch.setenv("ARTSTORE_PROFILE", "development")
    monkeypatch.setenv("ARTSTORE_LOG_LEVEL", "debug")
    module = modules(Ports.from_base())["edit-1"]

    environment = module_environment(module, TLS, {})

    assert environment["ARTSTORE_PORT"] == "8010"
    assert environment["ARTSTORE_PROFILE"] == "production"
    assert environment["ARTSTORE_LOG_LEVEL"] == "debug"


def test_nothing_else_of_the_callers_environment_is_handed_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARTSTORE_CLIENT_SECRET", "s")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("LD_PRELOAD", "/x")
    assert not {"ARTSTORE_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"} & set(
        base_environment()
    )


def test_a_relative_search_path_means_the_same_to_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "src:/abs")
    assert base_environment()["PYTHONPATH"] == f"{tmp_path}/src:/abs"
