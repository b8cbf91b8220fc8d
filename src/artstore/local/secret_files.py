"""Random secrets of the stack, one file each. Nobody ever chooses one."""

import secrets
from pathlib import Path
from typing import Final

from artstore.core.private_files import write_private
from artstore.core.settings import read_secret

SECRET_BYTES: Final = 32
"""256 bits; as text 43 characters of base64url, safe in URLs and configuration files."""

ADMIN_PASSWORD: Final = "admin-password"  # noqa: S105  the name of a file
CLI_SECRET: Final = "cli-secret"  # noqa: S105
KEY_ENCRYPTION_KEY: Final = "key-encryption-key"
DATABASE_SUPERUSER: Final = "database-superuser"
DATABASE_ADMIN: Final = "database-admin"
DATABASE_QUERY: Final = "database-query"
VALKEY: Final = "valkey"
VALKEY_READER: Final = "valkey-reader"
VALKEY_KEEPER: Final = "valkey-keeper"
ALL: Final = (
    ADMIN_PASSWORD,
    CLI_SECRET,
    KEY_ENCRYPTION_KEY,
    DATABASE_SUPERUSER,
    DATABASE_ADMIN,
    DATABASE_QUERY,
    VALKEY,
    VALKEY_READER,
    VALKEY_KEEPER,
)


class SecretFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self) -> None:
        """Make those that are missing; one that exists is never changed."""
        for name in ALL:
            if not self.file(name).exists():
                write_private(self.file(name), secrets.token_urlsafe(SECRET_BYTES))

    def file(self, name: str) -> Path:
        return self._folder / name

    def read(self, name: str) -> str:
        return read_secret(self.file(name))
