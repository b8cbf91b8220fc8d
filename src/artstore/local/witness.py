"""The witness of the embedded stack: a process with a key and a folder of its own.

It confirms that the audit log only ever grew. On the same machine it protects against mistakes
and against a copy that was put back, not against whoever rules the machine: for that somebody
else has to run one (docs/operations/audit.md).
"""

import asyncio
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from artstore.core.private_files import private_folder, write_private
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.local.ports import LISTEN_ADDRESS
from artstore.witness.settings import make_key_file, read_keys

LOOK_AGAIN_S: Final = 0.2
FOLLOW_EVERY_S: Final = 5.0
"""So long a rotated log may wait for its cosignatures."""


@dataclass(frozen=True)
class LocalWitness:
    folder: Path
    port: int

    @property
    def address_line(self) -> str:
        """For the list of witnesses that the log asks: where it is, and its public keys."""
        keys = " ".join(str(key.verifier) for key in read_keys(self._key_file).current)
        return f"http://{LISTEN_ADDRESS}:{self.port} {keys}\n"

    def make(self) -> None:
        """Its folder and keys; what is there is kept."""
        private_folder(self.folder)
        if not self._key_file.exists():
            make_key_file(self._key_file, f"localhost/witness/{secrets.token_hex(4)}")

    def command(self) -> list[str]:
        options = {
            "key-file": self._key_file,
            "logs-file": self._logs_file,
            "state": self.folder / "state",
            "host": LISTEN_ADDRESS,
            "port": self.port,
        }
        given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return [sys.executable, "-m", "artstore.witness", "serve", *given]

    async def meet_the_log(self, database_url: str) -> None:
        """Write down whom to cosign for. The log makes its keys when it is written for the first
        time; this waits for them."""
        while not (keys := await asyncio.to_thread(_log_keys, database_url)):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN_S)
        self._write_down(keys)

    async def follow_the_log(self, database_url: Callable[[], str]) -> None:
        """Tell the witness of keys that the log rotates to, until cancelled. It reads them with
        the next question."""
        while True:
            await asyncio.sleep(FOLLOW_EVERY_S)
            try:
                keys = await asyncio.to_thread(_log_keys, database_url())
                if keys:
                    self._write_down(keys)
            except (psycopg.Error, OSError):
                # The database starts again, or the disk is full: in five seconds once more.
                continue

    def _write_down(self, keys: Sequence[VerifierKey]) -> None:
        text = "".join(f"{key}\n" for key in keys)
        if not self._logs_file.exists() or self._logs_file.read_text() != text:
            write_private(self._logs_file, text)

    @property
    def _key_file(self) -> Path:
        return self.folder / "key"

    @property
    def _logs_file(self) -> Path:
        return self.folder / "logs"


def _log_keys(database_url: str) -> list[VerifierKey]:
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT verifier_key FROM audit.log_keys ORDER BY created_at")
        return [VerifierKey.parse(row[0]) for row in found]
