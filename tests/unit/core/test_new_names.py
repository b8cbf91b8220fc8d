"""A finished file gets its name and replaces none, also where a file has one name only."""

import errno
import os
from pathlib import Path

import pytest

from artstore.core.new_names import give_new_name


@pytest.fixture(params=["ext4", "exFAT"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "exFAT":
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "made").write_text("whole")
    return tmp_path


def test_it_has_its_new_name_only(folder: Path) -> None:
    give_new_name(folder / "made", folder / "target")

    assert [path.name for path in folder.iterdir()] == ["target"]
    assert (folder / "target").read_text() == "whole"


def test_nothing_is_replaced(folder: Path) -> None:
    (folder / "target").write_text("older evidence")
    with pytest.raises(FileExistsError):
        give_new_name(folder / "made", folder / "target")

    assert (folder / "target").read_text() == "older evidence"
    assert (folder / "made").read_text() == "whole"


def test_another_failure_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        give_new_name(tmp_path / "nothing", tmp_path / "target")
    assert not (tmp_path / "target").exists()
