"""Which source gives a secret, and what happens when it stops giving it."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.hand_clock import HandClock

from artstore.core.metrics import REGISTRY
from artstore.core.secrets.chain import LOOK_AGAIN_S, Login, Secret, Secrets
from artstore.core.secrets.sources import EnvironmentSecrets, FileSecrets
from artstore.core.settings import ConfigurationError, read_secret

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_named_file_comes_before_the_folder_and_that_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTSTORE_ONE", "environment")
    monkeypatch.setenv("ARTSTORE_THREE", "environment")
    for name in ("one", "two"):
        written(tmp_path / name, "folder")
    named = written(tmp_path / "elsewhere", "named")
    sources = [FileSecrets({"one": named}, tmp_path), EnvironmentSecrets(NOW)]
    secrets = Secrets(sources, HandClock())

    assert [secrets.read(name) for name in ("one", "two", "three")] == [
        "named",
        "folder",
        "environment",
    ]


def test_what_nobody_has_is_refused_with_all_places_it_could_be_in(tmp_path: Path) -> None:
    secrets = Secrets([FileSecrets({}, tmp_path), EnvironmentSecrets(NOW)], HandClock())

    with pytest.raises(ConfigurationError) as refusal:
        secrets.read("database_password")

    assert str(tmp_path / "database_password") in str(refusal.value)
    assert "ARTSTORE_DATABASE_PASSWORD" in str(refusal.value)


def test_a_file_named_by_a_setting_must_exist(tmp_path: Path) -> None:
    written(tmp_path / "one", "in the folder")
    secrets = Secrets([FileSecrets({"one": tmp_path / "gone"}, tmp_path)], HandClock())

    with pytest.raises(ConfigurationError, match="gone"):
        secrets.read("one")


def test_a_changed_file_counts_after_a_second(tmp_path: Path) -> None:
    clock = HandClock()
    secrets = Secrets([FileSecrets({}, tmp_path)], clock)
    written(tmp_path / "one", "first")
    assert secrets.read("one") == "first"

    written(tmp_path / "one", "second")
    clock.advance(LOOK_AGAIN_S)

    assert secrets.read("one") == "second"


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.chmod(0o644)])
def test_the_last_good_value_stays_while_the_file_is_unfit(tmp_path: Path, spoil: object) -> None:
    clock = HandClock()
    secrets = Secrets([FileSecrets({}, tmp_path)], clock)
    path = written(tmp_path / "kept", "good")
    assert secrets.read("kept") == "good"

    assert callable(spoil)
    spoil(path)
    clock.advance(LOOK_AGAIN_S)

    assert secrets.read("kept") == "good"
    assert REGISTRY.get_sample_value("artstore_secret_readable", {"secret": "kept"}) == 0
    path.unlink(missing_ok=True)
    written(path, "new")
    clock.advance(LOOK_AGAIN_S)
    assert secrets.read("kept") == "new"
    assert REGISTRY.get_sample_value("artstore_secret_readable", {"secret": "kept"}) == 1


def test_a_login_is_a_password_or_a_name_and_a_password(tmp_path: Path) -> None:
    secrets = Secrets([FileSecrets({}, tmp_path)], HandClock())
    written(tmp_path / "one", "pass\n")
    written(tmp_path / "two", "role_b\npass\n")
    written(tmp_path / "three", "a\nb\nc")

    assert secrets.login("one") == Login(None, "pass")
    assert secrets.login("two") == Login("role_b", "pass")
    with pytest.raises(ConfigurationError, match="expected a password"):
        secrets.login("three")


def test_no_secret_is_in_a_repr() -> None:
    assert "hidden" not in repr(Secret("hidden", NOW)) + repr(Login("x", "hidden"))


@pytest.mark.parametrize("mode", [0o440, 0o640])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_group_may_read_what_belongs_to_somebody_else(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "one", "of kubernetes", mode)
    os.chown(path, 65534, -1)

    assert read_secret(path) == "of kubernetes"
    path.chmod(mode | 0o004)
    with pytest.raises(ConfigurationError, match="others may read"):
        read_secret(path)
