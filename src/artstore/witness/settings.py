"""Settings of a witness, and the two files it is given: its keys, and whom to cosign for."""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from artstore.core.settings import ConfigurationError, read_secret
from artstore.core.tlog.errors import InvalidKey
from artstore.core.tlog.notes.keys import (
    SECRET_PREFIX,
    SEED_BYTES,
    Algorithm,
    SigningKey,
    VerifierKey,
)


class WitnessSettings(BaseSettings):
    """Variables are `ARTSTORE_WITNESS_` and the field in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="ARTSTORE_WITNESS_", frozen=True, extra="ignore", cli_parse_args=False
    )

    key_file: Path
    """Secret keys of this witness, one a line; made by `init`. Public keys in it are former
    ones of this witness, whose signatures on its own record still count."""
    logs_file: Path
    """Public keys of the logs to cosign for, one a line. `#` begins a comment."""
    state: Path
    """Folder that holds the newest state of each log. Lose it, and this witness forgets."""
    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=0, le=65535)
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    behind_proxy: bool = False
    """Plain HTTP is meant to be reached from elsewhere: a proxy in front has the certificate."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("certificate and key file belong together: set both or none")
        open_to_others = not _is_loopback(self.host)
        if open_to_others and self.tls_certificate_file is None and not self.behind_proxy:
            raise ValueError("beyond this machine a witness needs TLS, or a proxy that has it")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class WitnessKeys:
    current: tuple[SigningKey, ...]
    former: tuple[VerifierKey, ...]


def read_keys(path: Path) -> WitnessKeys:
    """Raises `ConfigurationError` for a file that is missing, open to others or malformed."""
    lines = _meant(read_secret(path).splitlines())
    try:
        current = tuple(SigningKey.parse(line) for line in lines if line.startswith(SECRET_PREFIX))
        former = tuple(
            VerifierKey.parse(line) for line in lines if not line.startswith(SECRET_PREFIX)
        )
    except InvalidKey as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not current or not all(key.algorithm.is_timed for key in current):
        raise ConfigurationError(
            f"{path}: a witness needs keys for cosignatures; make them by init"
        )
    return WitnessKeys(current, former)


def read_logs(path: Path) -> tuple[VerifierKey, ...]:
    """Raises `ConfigurationError`."""
    try:
        lines = _meant(path.read_text().splitlines())
        # As `artstore audit keys` prints it, too: what it is of, then the key.
        return tuple(VerifierKey.parse(line.rsplit(maxsplit=1)[-1]) for line in lines)
    except (OSError, UnicodeDecodeError, InvalidKey) as error:
        raise ConfigurationError(f"{path}: {error}") from None


class LogsFile:
    """`logs_file` as it is now: who adds the new key of a log there need not restart us."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()

    def changed(self) -> tuple[VerifierKey, ...] | None:
        """The keys, when the file is another one than when they were last read.

        Raises:
            ConfigurationError: It is missing or malformed. It is read again when it changes.
        """
        state = self._state()
        if state == self._seen:
            return None
        self._seen = state
        return read_logs(self._path)

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def make_key_file(path: Path, name: str) -> tuple[VerifierKey, ...]:
    """New keys, one of each algorithm, in a new file that only its owner can read.

    Raises:
        ConfigurationError: The file is there already, or the name cannot be used.
    """
    algorithms = Algorithm.ED25519_COSIGNATURE, Algorithm.ML_DSA_44_COSIGNATURE
    try:
        keys = [SigningKey.from_seed(name, kind, os.urandom(SEED_BYTES)) for kind in algorithms]
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.writelines(f"{key.secret_text()}\n" for key in keys)
            file.flush()
            os.fsync(handle)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already; keys are never replaced") from None
    except (OSError, InvalidKey) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return tuple(key.verifier for key in keys)


def _meant(lines: Sequence[str]) -> list[str]:
    """Without comments and empty lines."""
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
