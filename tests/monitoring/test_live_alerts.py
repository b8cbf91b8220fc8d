"""What goes wrong reaches a person: the right alert arrives at a real receiver.

Method: a stack whose first element lies on a small volume of its own, Prometheus and AlertManager
beside it, and alerts that wait a tenth of their time; thresholds are the real ones.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.cut_volume import needs_cuts
from tests.support.monitoring import Monitoring, eventually, hasten, needs_prometheus, watching
from tests.support.processes import short_folder
from tests.support.stack import RunningStack

from artstore.client import ArtStore
from artstore.core.errors import ArtStoreError, FileArchived
from artstore.core.model.restored import RestoreState
from artstore.local.home import Home
from artstore.local.ports import free_ports
from artstore.local.stack import Stack

TIMES_SOONER = 10
VOLUME_BYTES = 1 << 30
RESERVED_BYTES = 64 << 20
LIMIT_S = 300
SLOW_S = 31
"""Longer than the 30 s that a restore may take."""

pytestmark = [pytest.mark.slow, needs_prometheus, needs_cuts()]


@contextmanager
def small_volume(image: Path, mounted_at: Path) -> Iterator[None]:
    with image.open("wb") as file:
        file.truncate(VOLUME_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted_at], check=True)
    try:
        (mounted_at / "lost+found").rmdir()
        yield
    finally:
        subprocess.run(["umount", mounted_at], check=True)


@pytest.fixture(scope="module")
def small_stack() -> Iterator[RunningStack]:
    settings = {"ARTSTORE_RESERVED_BYTES": str(RESERVED_BYTES)}
    with short_folder() as folder, patch.dict(os.environ, settings):
        home = Home.at(folder / "home")
        home.create()
        root = home.data / "edit-1"
        root.mkdir(mode=0o700)
        (home.archives / "rw-1").mkdir(parents=True)
        with small_volume(folder / "image", root):
            stack = Stack(home, free_ports())
            stack.start()
            try:
                yield RunningStack(stack)
            finally:
                stack.stop()


@pytest.fixture(scope="module")
def hasty(small_stack: RunningStack) -> Iterator[Monitoring]:
    with watching(small_stack) as monitoring:
        hasten(small_stack, TIMES_SOONER)
        eventually(lambda: len(monitoring.query("up == 1")) == 8, "all targets being up")
        yield monitoring


@contextmanager
def halted(stack: RunningStack, name: str) -> Iterator[None]:
    pid = stack.process(name).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def filled(stack: RunningStack) -> Iterator[None]:
    """So little is left on the volume of the first element that not even its reserve is there."""
    root = stack.home / "data" / "edit-1"
    filler = root.parent / "edit-1" / "tmp" / "filler"
    space = os.statvfs(root)
    free_bytes = space.f_bavail * space.f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free_bytes - RESERVED_BYTES // 2)
    try:
        yield
    finally:
        filler.unlink()


def test_nothing_is_said_while_nothing_is_wrong(hasty: Monitoring) -> None:
    hasty.wait_for("Watchdog", LIMIT_S)

    told = {alert["labels"]["alertname"] for alert in hasty.alerts}
    # Of the machine that runs the tests, not of ours.
    assert told <= {
        "Watchdog",
        "HighCPUUsage",
        "HighMemoryUsage",
        "LowDiskSpace",
        "HighResponseTime",
    }


def test_a_full_disk_and_uploads_that_fail_of_it(
    small_stack: RunningStack, hasty: Monitoring, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader")

    def uploads_fail_on() -> bool:
        with suppress(ArtStoreError):
            store.put(letter)
        return bool(hasty.query('artstore_element_capacity_state{state="full"} == 1')) and bool(
            hasty.query("artstore:uploads_failed:ratio5m > 0.1")
        )

    with ArtStore.from_home(small_stack.home) as store, filled(small_stack):
        eventually(uploads_fail_on, "failing uploads", LIMIT_S)
        full = hasty.wait_for("ElementNearlyFull", LIMIT_S)
        failing = hasty.wait_for("HighFileUploadFailureRate", LIMIT_S)
        eventually(lambda: low_on_disk(hasty), "alert LowDiskSpace of the element", LIMIT_S)

    assert (full["labels"]["state"], full["path"]) == ("full", "/warning")
    assert failing["path"] == "/warning"


def low_on_disk(monitoring: Monitoring) -> bool:
    return any(
        alert["labels"]["alertname"] == "LowDiskSpace"
        and alert["labels"].get("mountpoint") == "element"
        and alert["path"] == "/critical"
        for alert in list(monitoring.alerts)
    )


def test_valkey_that_does_not_answer(small_stack: RunningStack, hasty: Monitoring) -> None:
    with halted(small_stack, "valkey"):
        assert hasty.wait_for("RedisConnectionFailed", LIMIT_S)["path"] == "/warning"


def test_an_element_that_does_not_answer(small_stack: RunningStack, hasty: Monitoring) -> None:
    with halted(small_stack, "rw-1"):
        alert = hasty.wait_for("ServiceDown", LIMIT_S)

    assert (alert["labels"]["job"], alert["path"]) == ("storage", "/critical")


@contextmanager
def unmounted(archive: Path) -> Iterator[None]:
    """What an element sees when the medium of its archive is not there."""
    elsewhere = archive.with_name("elsewhere")
    archive.rename(elsewhere)
    archive.mkdir()
    try:
        yield
    finally:
        archive.rmdir()
        elsewhere.rename(archive)


def archived_file(stack: RunningStack, store: ArtStore, letter: Path) -> str:
    """Its content is in the archive of rw-1. There is no way back from this mode."""
    file_id = store.put(letter, retention="P1D").file_id
    path = "/api/v1/storage-elements/rw-1"
    for mode in ("ro", "ar"):
        store.call("POST", f"{path}/mode", body={"mode": mode, "reason": "full", "confirm": True})
    eventually(lambda: store.call("GET", path)["info"]["archive"]["complete"], "the archive")
    return file_id


def test_a_restore_that_is_slow_of_its_archive(
    small_stack: RunningStack, hasty: Monitoring, tmp_path: Path
) -> None:
    """The last one: rw-1 takes no files any more."""
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader")
    metric = "artstore_restore_duration_seconds_count"
    eventually(lambda: hasty.has_numbers(metric), "the metric before the restore")

    with ArtStore.from_home(small_stack.home) as store:
        file_id = archived_file(small_stack, store, letter)
        with pytest.raises(FileArchived):
            store.get(file_id, tmp_path / "copy.txt")
        with unmounted(small_stack.home / "archives" / "rw-1"):
            store.restore(file_id)
            time.sleep(SLOW_S)
        eventually(
            lambda: store.restore_status(file_id).state is RestoreState.READY,
            "the restore",
            LIMIT_S,
        )
        store.get(file_id, tmp_path / "copy.txt")
        alert = hasty.wait_for("FileRestoreSlowness", LIMIT_S)

    assert (tmp_path / "copy.txt").read_text() == "Dear reader"
    assert alert["path"] == "/warning"
    assert alert["annotations"]["summary"].startswith("Restores take ")
