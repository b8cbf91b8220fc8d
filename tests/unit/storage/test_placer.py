"""The helper process: does what it is told, and is missed by nobody when it dies."""

import os
import signal
from pathlib import Path

import pytest

from artstore.storage.engine.placer import NewFile, PlacerFailed, PlacerProcess


@pytest.fixture
def placer():
    placer = PlacerProcess()
    yield placer
    placer.close()


def files(folder: Path, count: int) -> list[NewFile]:
    return [
        NewFile(f"{folder}/a/b/{n}.bin", b"%d" % n * 500, f"{folder}/a/b/{n}.attr.json", b"{}")
        for n in range(count)
    ]


def test_it_makes_files_and_their_directories(placer: PlacerProcess, tmp_path: Path) -> None:
    new = files(tmp_path, 300)
    placer.put_new(new)()

    assert [Path(file.path).read_bytes() for file in new] == [file.content for file in new]
    assert [Path(file.attr_path).read_bytes() for file in new] == [b"{}"] * 300
    assert placer.existing([new[0].path, f"{tmp_path}/none"]) == [new[0].path]
    assert placer.existing([]) == []


def test_it_replaces_nothing(placer: PlacerProcess, tmp_path: Path) -> None:
    new = files(tmp_path, 1)
    placer.put_new(new)()
    with pytest.raises(PlacerFailed, match="exists"):
        placer.put_new([new[0]._replace(content=b"other")])()
    assert Path(new[0].path).read_bytes() == new[0].content


def test_one_that_dies_is_followed_by_another(placer: PlacerProcess, tmp_path: Path) -> None:
    os.kill(placer._process.pid, signal.SIGKILL)
    with pytest.raises(PlacerFailed):
        placer.put_new(files(tmp_path, 1))()
    placer.put_new(files(tmp_path, 1))()
