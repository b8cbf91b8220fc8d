"""Secrets in files, as Docker and Kubernetes hand them over, and in the environment."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from artstore.core.secrets.chain import Secret
from artstore.core.settings import SECRET_SUFFIX, VARIABLE_PREFIX, read_secret


class FileSecrets:
    """One file each: the one a setting names, or else the one of that name in a folder."""

    def __init__(self, files: Mapping[str, Path], folder: Path | None) -> None:
        self._files = files
        self._folder = folder

    def find(self, name: str) -> Secret | None:
        path = self._path(name)
        if path is None or not (name in self._files or path.exists()):
            return None
        text = read_secret(path)
        return Secret(text, datetime.fromtimestamp(path.stat().st_mtime, UTC))

    def place(self, name: str) -> str:
        file = f"a file that {VARIABLE_PREFIX}{name.upper()}{SECRET_SUFFIX} names"
        path = self._path(name)
        return f"{path}" if path else file

    def close(self) -> None: ...

    def _path(self, name: str) -> Path | None:
        if name in self._files:
            return self._files[name]
        return self._folder / name if self._folder else None


class EnvironmentSecrets:
    """For development. Everybody who may look at a process can read its environment, and so
    can everything that it starts."""

    def __init__(self, started_at: datetime) -> None:
        self._started_at = started_at

    def find(self, name: str) -> Secret | None:
        text = os.environ.get(self.place(name), "").strip()
        return Secret(text, self._started_at) if text else None

    def place(self, name: str) -> str:
        return f"{VARIABLE_PREFIX}{name.upper()}"

    def close(self) -> None: ...
