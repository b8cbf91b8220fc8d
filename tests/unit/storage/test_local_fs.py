"""What the real volume is asked beside the usual calls."""

import fcntl
import os
import subprocess
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from artstore.storage.engine import fs
from artstore.storage.engine.fs import LocalFs


def flags_of(directory: Path) -> int:
    handle = os.open(directory, os.O_RDONLY)
    try:
        flags = bytearray(8)
        fcntl.ioctl(handle, fs._GET_FLAGS, flags)
        return int.from_bytes(flags[:4], "little")
    finally:
        os.close(handle)


def test_directories_are_made_where_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    if subprocess.run(["chattr", "+T", tmp_path / "plain"], check=False, stderr=DEVNULL).returncode:
        pytest.skip("this file system does not take the advice")
    LocalFs().make_directory(f"{tmp_path}/hour")
    assert flags_of(tmp_path / "hour") == flags_of(tmp_path / "plain")
    assert flags_of(tmp_path / "hour") & fs.TOP_OF_HIERARCHY


def test_a_file_system_that_refuses_the_advice_has_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    LocalFs().make_directory(f"{tmp_path}/hour")
    assert (tmp_path / "hour").is_dir()
