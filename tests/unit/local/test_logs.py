"""Log files: nothing is lost, nothing grows for ever, a full disk stops nobody."""

import json
import os
from pathlib import Path

import pytest

from artstore.core.clock import SystemClock
from artstore.local.logs import EventLog, RotatingLog


def test_a_full_file_makes_room_and_no_line_is_lost(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "a.log", bytes_max=100)
    lines = [f"line {number:03}\n".encode() for number in range(30)]
    for line in lines:
        log.write(line)
    log.close()

    files = [tmp_path / f"a.log{end}" for end in (".3", ".2", ".1", "")]
    kept = b"".join(file.read_bytes() for file in files if file.exists())
    assert kept == b"".join(lines)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_only_so_many_old_files_are_kept(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "a.log", bytes_max=10)
    for number in range(50):
        log.write(f"number {number:04}\n".encode())
    log.close()

    assert {path.name for path in tmp_path.iterdir()} == {"a.log.1", "a.log.2", "a.log.3"}
    assert (tmp_path / "a.log.1").read_text() == "number 0049\n"


def test_a_file_changes_only_behind_a_whole_line(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "a.log", bytes_max=10)
    log.write(b"the first half ")
    log.write(b"and the second\n")
    log.write(b"next")
    log.close()

    assert (tmp_path / "a.log.1").read_bytes() == b"the first half and the second\n"


def test_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full here")
    (tmp_path / "a.log").symlink_to("/dev/full")
    mode = Path("/dev/full").stat().st_mode & 0o777
    log = RotatingLog(tmp_path / "a.log")
    try:
        log.write(b"lost\n")
    finally:
        log.close()
        if os.geteuid() == 0:
            Path("/dev/full").chmod(mode)


def test_the_end_of_a_log_is_told(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "a.log")
    assert log.tail(3) == []
    log.write(b"".join(f"{number}\n".encode() for number in range(5000)))
    assert log.tail(2) == ["4998", "4999"]
    log.close()


def test_events_are_json_lines_as_the_modules_write_them(tmp_path: Path) -> None:
    log = EventLog(RotatingLog(tmp_path / "a.log"), SystemClock())
    log.warning("process died", process="edit-1", exit_code=-9)
    log.close()

    event = json.loads((tmp_path / "a.log").read_text())
    assert event["event"] == "process died"
    assert event["level"] == "warning"
    assert event["timestamp"].endswith("Z")
    assert event["exit_code"] == -9
