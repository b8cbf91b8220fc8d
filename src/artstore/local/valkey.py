"""Valkey of the embedded stack: UNIX socket only, one account, every write in its log."""

import hashlib
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore.core.private_files import private_folder, write_private
from artstore.local.account import launched

USERNAME: Final = "artstore"
READER: Final = "reader"
"""For modules that only hear of revocations."""
KEEPER: Final = "keeper"
"""Changes the passwords of the others, and its own."""
STOP: Final = signal.SIGTERM
_PROBE_TIMEOUT_S: Final = 2.0
_ANSWER_BYTES_MAX: Final = 512

_CONFIGURATION: Final = """\
# Written anew at every start.
port 0
unixsocket "{socket}"
unixsocketperm 700
protected-mode yes
aclfile "{acl}"
enable-debug-command no
enable-module-command no
dir "{data}"
daemonize no
set-proc-title no
# What is acknowledged is at most one second from the disk; snapshots add nothing to that.
appendonly yes
appendfsync everysec
save ""
# Revocations must never be thrown out to make room: refuse the write instead.
maxmemory 256mb
maxmemory-policy noeviction
"""

_ACL: Final = """\
user default off
user {user} on #{digest} ~* &* +@all -@admin -@dangerous +info
"""
_READER_ACL: Final = """\
user {user} on #{digest} %R~artstore:revocations* -@all +@connection +xread +get
"""
_KEEPER_ACL: Final = """\
user {user} on #{digest} -@all +@connection +acl|setuser +acl|save +client|list +client|kill
"""


@dataclass(frozen=True)
class Valkey:
    """A server with its data in `data` and its socket in `sockets` (private, short path)."""

    program: Path
    data: Path
    configuration: Path
    sockets: Path

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """Without credentials, as settings hold it."""
        return f"unix://{self.socket}"

    def configure(
        self,
        password: str,
        reader_password: str | None = None,
        keeper_password: str | None = None,
    ) -> None:
        private_folder(self.data)
        acl = self.configuration.with_suffix(".acl")
        users = _ACL.format(user=USERNAME, digest=_digest(password))
        for line, user, secret in (
            (_READER_ACL, READER, reader_password),
            (_KEEPER_ACL, KEEPER, keeper_password),
        ):
            if secret is not None:
                users += line.format(user=user, digest=_digest(secret))
        write_private(acl, users)
        text = _CONFIGURATION.format(socket=self.socket, acl=acl, data=self.data)
        write_private(self.configuration, text)

    def command(self) -> list[str]:
        return launched([self.program, self.configuration], parent_death=STOP)

    def is_ready(self, password: str) -> bool:
        """Whether it answers our account. Blocking, for `_PROBE_TIMEOUT_S` at most."""
        request = f"AUTH {USERNAME} {password}\r\nPING\r\n".encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PROBE_TIMEOUT_S)
                connection.connect(str(self.socket))
                connection.sendall(request)
                return _answers(connection) == [b"+OK", b"+PONG"]
        except OSError:
            return False


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _answers(connection: socket.socket) -> list[bytes]:
    received = b""
    while received.count(b"\r\n") < 2:
        piece = connection.recv(_ANSWER_BYTES_MAX)
        if not piece:
            break
        received += piece
    return received.split(b"\r\n")[:2]
