from pathlib import Path

import pytest
from pydantic import ValidationError

from artstore.core.settings import ConfigurationError, ModuleSettings, read_secret


def settings(**fields: object) -> ModuleSettings:
    return ModuleSettings.model_validate({"instance": "storage-1", "port": 8010} | fields)


TLS = {"tls_certificate_file": "a.crt", "tls_key_file": "a.key", "tls_ca_file": "ca.crt"}


def test_half_of_the_tls_files_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="all three or none"):
        settings(profile="development", tls_ca_file="ca.crt")


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings(**TLS).port = 1  # type: ignore[misc]


def test_they_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTSTORE_INSTANCE", "storage-7")
    monkeypatch.setenv("ARTSTORE_PORT", "8017")
    monkeypatch.setenv("ARTSTORE_PROFILE", "development")

    assert ModuleSettings().instance == "storage-7"  # type: ignore[call-arg]


def test_a_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    path.chmod(0o400)

    assert read_secret(path) == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret")
    path.chmod(mode)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_secret(path)


def test_a_missing_or_empty_secret_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch(0o600)

    for path in (empty, tmp_path / "missing"):
        with pytest.raises(ConfigurationError):
            read_secret(path)
