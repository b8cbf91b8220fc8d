from pathlib import Path

import pytest

from artstore.client.login import forget_login, save_person, save_profile
from artstore.client.people import SignIn, read_session
from artstore.client.settings import Profile, ProfileError, load_profile, read_secret_file

PROFILE = (
    '{"edge": "https://127.0.0.1:8443/", "ca_file": "pki/ca.crt", "client_id": "cli",'
    ' "client_secret_file": "secret"}'
)


def make_home(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "profile.json").write_text(PROFILE)
    (folder / "secret").write_text("s3cret\n")
    (folder / "secret").chmod(0o600)
    return folder


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARTSTORE_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep")


def test_paths_are_relative_to_the_profile(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")

    profile = load_profile(home)

    assert profile == Profile("https://127.0.0.1:8443", home / "pki/ca.crt", "cli", "s3cret")


def test_a_home_above_is_found(tmp_path: Path) -> None:
    make_home(tmp_path / "work" / ".artstore")

    assert load_profile().client_secret == "s3cret"


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(tmp_path / "work" / ".artstore")
    monkeypatch.setenv("ARTSTORE_HOME", str(tmp_path / "elsewhere"))

    with pytest.raises(ProfileError, match="elsewhere"):
        load_profile()


def test_the_signed_in_profile_comes_last(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificate")
    saved = Profile("https://archive.example", tmp_path / "ca.pem", "scanner", "other")
    save_profile(saved)
    (tmp_path / "ca.pem").unlink()

    loaded = load_profile()
    assert (loaded.client_id, loaded.client_secret) == ("scanner", "other")
    assert loaded.ca_file is not None
    assert loaded.ca_file.read_text() == "certificate"

    make_home(tmp_path / "work" / ".artstore")
    assert load_profile().client_id == "cli"


def test_without_any_the_way_out_is_named() -> None:
    with pytest.raises(ProfileError, match="artstore up"):
        load_profile()


@pytest.mark.parametrize("content", ["", "[]", '{"edge": "https://x"}', PROFILE[:-1]])
def test_a_broken_profile_is_named(tmp_path: Path, content: str) -> None:
    home = make_home(tmp_path / "home")
    (home / "profile.json").write_text(content)

    with pytest.raises(ProfileError, match="is not a profile"):
        load_profile(home)


def test_a_secret_is_read_only_when_it_is_one(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    with pytest.raises(ProfileError, match="cannot be read"):
        read_secret_file(secret)
    secret.write_text(" \n")
    secret.chmod(0o600)
    with pytest.raises(ProfileError, match="empty"):
        read_secret_file(secret)
    secret.write_text("x")
    secret.chmod(0o640)
    with pytest.raises(ProfileError, match="chmod 600"):
        read_secret_file(secret)


def test_a_profile_does_not_show_its_secret() -> None:
    assert "s3cret" not in repr(Profile("https://x", None, "cli", "s3cret"))


def test_a_login_counts_before_what_is_there_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    home = make_home(tmp_path / "work" / ".artstore")
    person = Profile("https://archive.example", None, "anna", "")
    signed_in = SignIn(access_token="a", expires_in=60, refresh_token="r")

    save_person(person, signed_in)

    loaded = load_profile()
    assert (loaded.edge_url, loaded.client_id) == ("https://archive.example", "anna")
    assert loaded.session_file is not None
    assert read_session(loaded.session_file).refresh_token == "r"
    assert forget_login()
    assert load_profile().client_id == "cli"
    assert sorted(path.name for path in home.iterdir()) == ["profile.json", "secret"]
    assert not forget_login()


def test_an_account_after_a_person_leaves_no_session_behind(tmp_path: Path) -> None:
    home = make_home(tmp_path / "work" / ".artstore")
    edge = "https://archive.example"
    save_person(
        Profile(edge, None, "anna", ""),
        SignIn(access_token="a", expires_in=60, refresh_token="r"),
    )

    save_profile(Profile(edge, None, "scanner", "s3cret"))

    assert load_profile().session_file is None
    assert not (home / "login-session.json").exists()
    for name in ("login.json", "login-secret"):
        assert (home / name).stat().st_mode & 0o077 == 0


def test_a_profile_is_of_an_account_or_of_a_person(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    (home / "profile.json").write_text('{"edge": "https://x", "client_id": "x"}')

    with pytest.raises(ProfileError, match="is not a profile"):
        load_profile(home)
