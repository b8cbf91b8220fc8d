"""A store is named wholly or not at all, and keys come from files that only we read."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from artstore.core.clock import SystemClock
from artstore.core.secrets.chain import Secrets
from artstore.core.secrets.sources import FileSecrets
from artstore.core.settings import ConfigurationError
from artstore.storage.app import backend_of
from artstore.storage.settings import StorageSettings


def settings(folder: Path, **changes: Any) -> StorageSettings:
    values: dict[str, Any] = {
        "profile": "development",
        "instance": "storage-1",
        "port": 0,
        "element_id": "edit-1",
        "root": folder,
        "backend": "s3",
        "s3_endpoint": "https://s3.example.org",
        "s3_bucket": "elements",
        "s3_access_key_file": folder / "access_key",
        "s3_secret_key_file": folder / "secret_key",
        **changes,
    }
    return StorageSettings(**values)


@pytest.mark.parametrize(
    "changes",
    [
        {"s3_endpoint": None},
        {"s3_bucket": None},
        {"s3_endpoint": "https://s3.example.org/bucket"},
        {"s3_bucket": "No"},
        {"s3_prefix": "/slash"},
        {"s3_prefix": "../up"},
        {"backend": "tape"},
    ],
    ids=str,
)
def test_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, **changes)


def test_local_needs_nothing(tmp_path: Path) -> None:
    local = settings(tmp_path, backend="local", s3_endpoint=None, s3_bucket=None)
    assert backend_of(local, Secrets([], SystemClock()), SystemClock()) is None


def test_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:
    for name in ("access_key", "secret_key"):
        (tmp_path / name).write_text("key")
        (tmp_path / name).chmod(0o644)
    made = settings(tmp_path)
    secrets = Secrets([FileSecrets(made.secret_files(), None)], SystemClock())
    with pytest.raises(ConfigurationError, match="others may read"):
        backend_of(made, secrets, SystemClock())
