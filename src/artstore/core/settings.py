"""Settings of a module: read once from the environment, typed, frozen, handed down.

Secrets never come from the environment. A setting names the file that holds one, and
`read_secret` reads it. Only this file and the modules' own `settings.py` know variables.
"""

import stat
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from artstore.core.tls import TlsFiles


class ConfigurationError(Exception):
    """The process cannot start like this. The message says which setting is wrong and why."""


class ModuleSettings(BaseSettings):
    """What every module needs. Variables are `ARTSTORE_` and the field in capitals."""

    model_config = SettingsConfigDict(env_prefix="ARTSTORE_", frozen=True, extra="ignore")

    profile: Literal["production", "development"] = "production"
    debug: bool = False
    """Interactive API pages; refused in production."""
    instance: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    tls_ca_file: Path | None = None
    tls_crl_file: Path | None = None
    """What the authorities of `tls_ca_file` revoked: one list of each that issues. Followed like
    the others; when it ends without a newer one, no certificate counts any more."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector. Without one no span leaves the process."""
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of traces that start here; a caller's decision is followed."""
    audit_spool_folder: Path | None = None
    """Where audit events wait until the log has them. Production needs one, on a lasting disk."""
    revocation_age_max_s: float = Field(default=60.0, ge=5, le=60)
    """Without news of revocations for so long, protected routes answer 503."""
    shutdown_grace_s: int = Field(default=20, ge=0)
    """How long running requests may take to end after SIGTERM."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if any(files) and not all(files):
            raise ValueError("certificate, key and CA file belong together: set all three or none")
        if self.profile == "production":
            if not all(files):
                raise ValueError("production needs TLS: set the certificate, key and CA files")
            if self.debug:
                raise ValueError("production refuses to start with debug on")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """`None` only in development."""
        if not (self.tls_certificate_file and self.tls_key_file and self.tls_ca_file):
            return None
        return TlsFiles(
            self.tls_certificate_file, self.tls_key_file, self.tls_ca_file, self.tls_crl_file
        )


class ValkeyReaderSettings(ModuleSettings):
    """For modules that may hear of revocations from Valkey too, and so outlive the admin module.
    All three, or none."""

    valkey_url: str | None = None
    """`unix:///path` or `redis://host:port/0`, without credentials."""
    valkey_username: str | None = None
    valkey_password_file: Path | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        parts = (self.valkey_url, self.valkey_username, self.valkey_password_file)
        if any(parts) and not all(parts):
            raise ValueError("URL, user name and password file of Valkey belong together")
        return self


def read_secret(path: Path) -> str:
    """The secret in a file, without surrounding white space.

    Raises:
        ConfigurationError: The file is missing, empty, or others may read it.
    """
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(f"{path}: others may read this secret; run: chmod 600 {path}")
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: the secret cannot be read ({error})") from error
    if not secret:
        raise ConfigurationError(f"{path}: the secret is empty")
    return secret
