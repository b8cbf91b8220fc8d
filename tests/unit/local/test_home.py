"""The state directory: whose it is, who may enter, where its sockets lie."""

import json
import os
import shutil
from pathlib import Path

import pytest

from artstore.local.home import (
    SOCKET_PATH_BYTES_MAX,
    AlreadyRunning,
    Home,
    HomeError,
    choose_home,
    find_home,
)
from artstore.local.secret_files import ALL, SecretFiles


def test_it_is_closed_to_everyone_else(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()

    folders = [home.root, home.pki, home.secrets, home.data, home.config, home.log, home.run]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_what_became_open_is_closed_again(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    home.root.chmod(0o755)
    home.secrets.chmod(0o755)

    home.create()

    assert home.root.stat().st_mode & 0o777 == 0o700
    assert home.secrets.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_other_things_in_it_is_left_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.odt").touch()

    with pytest.raises(HomeError, match="holds something else"):
        Home.at(tmp_path).create()

    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.odt"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(HomeError, match="not a directory"):
        Home.at(tmp_path / "home").create()


def test_a_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(HomeError, match="another user"):
        Home.at(tmp_path).create()


def test_a_directory_of_a_later_version_is_refused(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    (home.root / "home.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(HomeError, match="another version"):
        home.create()


def test_only_one_supervisor_gets_the_lock(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    with home.locked(), pytest.raises(AlreadyRunning), home.locked():
        pass
    with home.locked():
        supervisor = home.supervisor()
    assert supervisor is not None
    assert supervisor.pid == os.getpid()


@pytest.mark.parametrize(
    "content",
    ["", "{", json.dumps({"pid": 1, "started_ticks": 1, "boot_id": "an earlier boot"})],
)
def test_a_stale_pid_file_means_nothing(tmp_path: Path, content: str) -> None:
    home = Home.at(tmp_path)
    home.create()
    home.pid_file.write_text(content)

    assert home.supervisor() is None
    with home.locked():
        pass


def test_sockets_lie_inside_when_the_path_is_short() -> None:
    home = Home(Path("/tmp") / f"as{os.getpid()}")
    home.create()
    try:
        assert home.sockets() == home.run / "sockets"
    finally:
        shutil.rmtree(home.root)


def test_sockets_of_a_deep_home_lie_in_a_private_short_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = deep_home(tmp_path)

    folder = home.sockets()

    try:
        assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES_MAX
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (home.run / "sockets.path").read_text() == str(folder)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        assert home.sockets() == folder, "a later process must look in the same place"
    finally:
        folder.rmdir()


def test_a_socket_folder_that_others_prepared_is_not_used(tmp_path: Path) -> None:
    home = deep_home(tmp_path)
    folder = home.sockets()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(HomeError, match="not ours"):
            home.sockets()
    finally:
        folder.unlink()


def test_a_socket_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    home = deep_home(tmp_path)
    folder = home.sockets()
    folder.chmod(0o777)
    try:
        with pytest.raises(HomeError, match="not ours"):
            home.sockets()
    finally:
        folder.rmdir()


def deep_home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / ("d" * 90) / "home")
    home.create()
    return home


def test_the_home_is_asked_for_or_set_or_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARTSTORE_HOME", raising=False)
    assert choose_home(None).root == tmp_path.resolve() / ".artstore"
    monkeypatch.setenv("ARTSTORE_HOME", str(tmp_path / "set"))
    assert choose_home(None).root == tmp_path.resolve() / "set"
    assert choose_home(tmp_path / "asked").root == tmp_path.resolve() / "asked"


def test_a_home_further_up_is_found_from_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARTSTORE_HOME", raising=False)
    Home.at(tmp_path / ".artstore").create()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")

    assert find_home(None).root == tmp_path.resolve() / ".artstore"
    assert choose_home(None).root == tmp_path.resolve() / "a" / "b" / ".artstore"


def test_secrets_are_long_private_different_and_stay(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path)
    files.create()
    first = {name: files.read(name) for name in ALL}

    files.create()

    assert {name: files.read(name) for name in ALL} == first
    assert len(set(first.values())) == len(ALL)
    assert min(map(len, first.values())) >= 43
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
