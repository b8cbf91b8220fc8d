"""Goal: what an append has promised is there until somebody took it over, whatever breaks.

Method: break each system call of an append in turn; damage the files; open them again.
"""

import os
from errno import EIO, ENOSPC
from pathlib import Path

import pytest

from artstore.core.recording import spool as module
from artstore.core.recording.spool import Spool, SpoolFull


def waiting(folder: Path) -> list[bytes]:
    """What the next process finds."""
    opened = Spool(folder)
    found: list[bytes] = []
    while (segment := opened.oldest()) is not None:
        found += segment.lines
        opened.remove(segment)
    opened.close()
    return found


def test_lines_outlive_the_process_and_keep_their_order(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append([b"1", b"2"])
    first.close()
    second = Spool(tmp_path)
    second.append([b"3"])
    second.close()

    assert waiting(tmp_path) == [b"1", b"2", b"3"]
    assert waiting(tmp_path) == []


def test_what_was_not_taken_over_is_told_again(tmp_path: Path) -> None:
    opened = Spool(tmp_path)
    opened.append([b"1"])
    assert opened.oldest() == opened.oldest()
    opened.append([b"2"])
    segment = opened.oldest()
    assert segment is not None
    assert segment.lines == (b"1",), "a segment that was shown does not grow"
    opened.close()

    assert waiting(tmp_path) == [b"1", b"2"]


def test_it_is_bounded(tmp_path: Path) -> None:
    opened = Spool(tmp_path, bytes_max=100)
    opened.append([b"x" * 40])
    with pytest.raises(SpoolFull):
        opened.append([b"x" * 80])
    opened.append([b"y" * 20])
    segment = opened.oldest()
    assert segment is not None
    opened.remove(segment)
    opened.append([b"x" * 80])
    opened.close()


def test_segments_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 50)
    opened = Spool(tmp_path)
    for number in range(6):
        opened.append([b"%d" % number * 20])
    opened.close()

    assert len(list(tmp_path.glob("*.lines"))) == 3
    assert [line[:1] for line in waiting(tmp_path)] == [b"0", b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_failing_disk_promises_nothing_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    opened = Spool(tmp_path)
    opened.append([b"before"])

    def fail(*_: object) -> None:
        raise OSError(ENOSPC if call == "write" else EIO, "injected")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        with pytest.raises(OSError, match="injected"):
            opened.append([b"refused"])
    opened.append([b"after"])
    opened.close()

    assert waiting(tmp_path) == [b"before", b"after"]


def test_a_torn_end_is_cut_and_damage_is_counted(tmp_path: Path) -> None:
    opened = Spool(tmp_path)
    opened.append([b"first", b"second", b"third"])
    opened.close()
    (file,) = tmp_path.glob("*.lines")
    data = file.read_bytes().replace(b"second", b"secXnd")
    file.write_bytes(data + b"0badc0de torn")

    opened = Spool(tmp_path)
    segment = opened.oldest()
    assert segment is not None
    assert segment.lines == (b"first", b"third")
    assert segment.damaged == 1
    opened.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    opened = Spool(tmp_path)
    with pytest.raises(BlockingIOError):
        Spool(tmp_path)
    opened.close()
    Spool(tmp_path).close()


def test_the_name_of_a_new_file_is_flushed_before_its_lines_are_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real_sync, real_data = os.fsync, os.fdatasync

    def fsync(handle: int) -> None:
        flushed.append("folder")
        real_sync(handle)

    def fdatasync(handle: int) -> None:
        flushed.append("lines")
        real_data(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    opened = Spool(tmp_path)
    opened.append([b"1"])
    opened.append([b"2"])
    opened.close()
    assert flushed == ["folder", "lines", "lines"]


def test_a_name_that_could_not_be_flushed_is_not_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file would be gone after a power cut, with all lines that were promised later."""
    opened = Spool(tmp_path)

    def fail(_: int) -> None:
        raise OSError(EIO, "injected")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="injected"):
            opened.append([b"refused"])
        with pytest.raises(OSError, match="injected"):
            opened.append([b"refused too"])
    opened.append([b"after"])
    assert opened.size_bytes == len(b"00000000 after\n")
    opened.close()

    assert waiting(tmp_path) == [b"after"]
