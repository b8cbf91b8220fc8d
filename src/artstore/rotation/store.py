"""Where a rotated secret is put, for everybody who reads it there."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import hvac
import requests
from hvac.exceptions import InvalidPath, VaultError

from artstore.core.private_files import write_private
from artstore.core.settings import ConfigurationError, read_secret
from artstore.rotation.procedure import RotationFailed


class SecretStore(Protocol):
    seen_after_s: float
    """So long a reader may still go by what was there before."""

    def read(self, name: str) -> str: ...

    def write(self, name: str, secret: str) -> None:
        """Replace it in one step, durably."""
        ...

    def changed_at(self, name: str) -> datetime: ...


class FolderStore:
    """A file each, as modules on this machine and mounted secrets have them."""

    seen_after_s = 2.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> str:
        try:
            return read_secret(self._folder / name)
        except ConfigurationError as error:
            raise RotationFailed(str(error)) from None

    def write(self, name: str, secret: str) -> None:
        if self._has(name, secret):
            return  # Its time tells when the secret changed.
        write_private(self._folder / name, secret)

    def changed_at(self, name: str) -> datetime:
        return datetime.fromtimestamp((self._folder / name).stat().st_mtime, UTC)

    def _has(self, name: str, secret: str) -> bool:
        return (self._folder / name).exists() and self.read(name) == secret


class OpenBaoStore:
    """Fields in the engine KV v2, called `<path>#<field>`: `artstore/query#database_password`.

    A write is refused when somebody else wrote meanwhile.
    """

    def __init__(self, client: hvac.Client, mount: str, refresh_s: float) -> None:
        self._client = client
        self._mount = mount
        self.seen_after_s = 2 * refresh_s

    def read(self, name: str) -> str:
        data, _ = self._version(name)
        field = name.partition("#")[2]
        if field not in data:
            raise RotationFailed(f"{name}: OpenBao has no such field")
        return data[field]

    def write(self, name: str, secret: str) -> None:
        data, metadata = self._version(name)
        path, _, field = name.partition("#")
        if data.get(field) == secret:
            return
        version = metadata.get("version", 0)
        try:
            self._client.secrets.kv.v2.create_or_update_secret(
                path, {**data, field: secret}, cas=version, mount_point=self._mount
            )
        except (VaultError, requests.RequestException) as error:
            raise RotationFailed(f"{name}: OpenBao does not take it ({error})") from None

    def changed_at(self, name: str) -> datetime:
        _, metadata = self._version(name)
        return datetime.fromisoformat(metadata["created_time"])

    def _version(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        try:
            answer = self._client.secrets.kv.v2.read_secret_version(
                name.partition("#")[0], mount_point=self._mount, raise_on_deleted_version=True
            )
        except InvalidPath:
            return {}, {}
        except (VaultError, requests.RequestException) as error:
            raise RotationFailed(f"{name}: OpenBao does not give it ({error})") from None
        return answer["data"]["data"], answer["data"]["metadata"]
