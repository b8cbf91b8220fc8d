"""A real file system on a loop device whose power can be cut.

`xfs_io -x -c shutdown` (XFS_IOC_GOINGDOWN without a flush of the journal, which ext4 knows
too) makes the kernel forget everything that is not on the device, as a power cut does.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE_BYTES = 512 << 20
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
CHECK = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"]}


def needs_cuts() -> pytest.MarkDecorator:
    """Skips where no file system can be mounted or cut."""
    missing = [
        tool
        for tool in ("xfs_io", "mkfs.xfs", "xfs_repair", "mkfs.ext4", "e2fsck", "mount")
        if shutil.which(tool) is None
    ]
    reason = f"needs {', '.join(missing)} (Debian: xfsprogs, e2fsprogs, mount)"
    if not missing and os.geteuid() != 0:
        missing, reason = ["root"], "needs root, to mount file systems"
    return pytest.mark.skipif(bool(missing), reason=reason)


class CutVolume:
    """Mounted when made; `unmount` at the end."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._image = folder / f"{kind}.image"
        self.path = folder / kind
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        _run(*MAKE[kind], str(self._image))
        self._mount()

    def cut(self) -> None:
        """From now on every call to the file system fails."""
        _run("xfs_io", "-x", "-c", "shutdown", str(self.path))

    def restore(self) -> None:
        """The power is back: replay the journal, check the file system, mount it again."""
        self.unmount()
        self._mount()
        self.unmount()
        _run(*CHECK[self._kind], str(self._image))
        self._mount()

    def unmount(self) -> None:
        _run("umount", str(self.path))

    def _mount(self) -> None:
        try:
            _run("mount", "-o", "loop", str(self._image), str(self.path))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"cannot mount here: {error.stderr.strip()}")


@contextmanager
def cut_volume(kind: str, folder: Path) -> Iterator[CutVolume]:
    volume = CutVolume(kind, folder)
    try:
        yield volume
    finally:
        volume.unmount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
