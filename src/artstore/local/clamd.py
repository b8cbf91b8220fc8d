"""clamd of the embedded stack, where the machine has it and signatures for it: UNIX socket only."""

import os
import shutil
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore.core.private_files import write_private
from artstore.local.account import launched

ADDRESS_VARIABLE: Final = "ARTSTORE_ANTIVIRUS_ADDRESS"
"""Who sets it has a scanner of their own; the stack then starts none."""
SIGNATURES_VARIABLE: Final = "ARTSTORE_ANTIVIRUS_SIGNATURES"
SIGNATURES_FOLDER: Final = "/var/lib/clamav"
STOP: Final = signal.SIGTERM
_SIGNATURES: Final = (".cvd", ".cld", ".cud", ".ndb", ".hdb", ".hsb", ".ldb")
_PROBE_TIMEOUT_S: Final = 2.0

# Limits as docs/operations/ingest.md explains them: clamd says OK for what it does not read.
_CONFIGURATION: Final = """\
# Written anew at every start.
LocalSocket {socket}
LocalSocketMode 600
DatabaseDirectory {signatures}
Foreground yes
ExitOnOOM yes
MaxThreads 64
StreamMaxLength 100M
MaxScanSize 200M
MaxFileSize 200M
AlertExceedsMax yes
AlertEncrypted yes
"""


@dataclass(frozen=True)
class Clamd:
    program: Path
    signatures: Path
    configuration: Path
    sockets: Path

    @property
    def socket(self) -> Path:
        return self.sockets / "clamd.sock"

    @property
    def address(self) -> str:
        """As settings hold it."""
        return f"unix://{self.socket}"

    def configure(self) -> None:
        text = _CONFIGURATION.format(socket=self.socket, signatures=self.signatures)
        write_private(self.configuration, text)

    def command(self) -> list[str]:
        options = [f"--config-file={self.configuration}", "--foreground"]
        return launched([self.program, *options], parent_death=STOP)

    def is_ready(self) -> bool:
        """Whether it has its signatures. Blocking, for `_PROBE_TIMEOUT_S` at most."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PROBE_TIMEOUT_S)
                connection.connect(str(self.socket))
                connection.sendall(b"zPING\0")
                return connection.recv(16) == b"PONG\0"
        except OSError:
            return False


def missing() -> str | None:
    """Why the stack starts no scanner; `None`: it does."""
    if ADDRESS_VARIABLE in os.environ:
        return f"{ADDRESS_VARIABLE} names one"
    if clamd_program() is None:
        return "clamd is not on this machine"
    if not _has_signatures(signatures_folder()):
        return f"there are no signatures in {signatures_folder()}"
    return None


def clamd_program() -> Path | None:
    found = shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def signatures_folder() -> Path:
    return Path(os.environ.get(SIGNATURES_VARIABLE, SIGNATURES_FOLDER))


def _has_signatures(folder: Path) -> bool:
    try:
        return any(path.suffix in _SIGNATURES for path in folder.iterdir())
    except OSError:
        return False
