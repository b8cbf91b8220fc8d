"""A real clamd with a signature database of our own: EICAR's test file, and nothing else.

The string is put together here, so that no scanner of anybody stumbles over this file.
"""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.support.processes import running, short_folder

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS" + b"-TEST-FILE!$H+H*"
CONFIGURATION = """\
DatabaseDirectory {folder}/signatures
LocalSocket {folder}/socket
Foreground yes
SelfCheck 0
MaxThreads 8
StreamMaxLength 100M
MaxScanSize 200M
MaxFileSize 200M
AlertExceedsMax yes
AlertEncrypted yes
"""


@dataclass
class Clamd:
    folder: Path
    pid: int

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/socket"

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        process = psutil.Process(self.pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()


@contextlib.contextmanager
def clamd_process() -> Iterator[Clamd]:
    program = shutil.which("clamd")
    if program is None:
        pytest.skip("clamd is not installed")
    with short_folder() as folder:
        (folder / "signatures").mkdir()
        # clamd gives up root for this account if it may, and then could not read them.
        signature = f"ArtStore.Test.Eicar:0:*:{EICAR.hex()}\n"
        (folder / "signatures" / "test.ndb").write_text(signature)
        configuration = folder / "clamd.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder))
        command = [program, f"--config-file={configuration}", "--foreground"]
        with running(command, lambda _: _answers(folder / "socket"), folder / "log") as process:
            yield Clamd(folder, process.pid)


@pytest.fixture(scope="session")
def clamd() -> Iterator[Clamd]:
    with clamd_process() as process:
        yield process


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            client.sendall(b"zPING\0")
            return client.recv(16) == b"PONG\0"
        except OSError:
            return False
