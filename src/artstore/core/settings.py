"""Settings of a module: read once from the environment, typed, frozen, handed down.

Secrets never come from the environment. A setting names the file that holds one, or
`core.secrets` knows where else to look. Only this file and the modules' own `settings.py` know
variables.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from artstore.core.remote import VERIFIED, crosses_network, secured, towards
from artstore.core.tls import TlsFiles

VARIABLE_PREFIX: Final = "ARTSTORE_"
SECRET_SUFFIX: Final = "_FILE"  # noqa: S105  of a variable's name


class ConfigurationError(Exception):
    """The process cannot start like this. The message says which setting is wrong and why."""

    exit_code = 78
    """`EX_CONFIG` of sysexits(3): starting again would not help."""


class ModuleSettings(BaseSettings):
    """What every module needs. Variables are `ARTSTORE_` and the field in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=VARIABLE_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    profile: Literal["production", "development"] = "production"
    debug: bool = False
    """Interactive API pages, `/docs` and `/openapi.json`; refused in production."""
    secrets_folder: Path | None = None
    """Where secrets lie that no setting names: a file each, called as the secret is."""
    cors_origins: str = ""
    """What the edge allows, with spaces or commas between. Modules only look that nobody opened
    it for everybody."""
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
    """Share of traces that become spans, decided by the trace id; the same for all modules. A
    caller may ask for none, not for more."""
    otlp_logs: bool = False
    """Log lines go to the collector too."""
    audit_spool_folder: Path | None = None
    """Where audit events wait until the log has them. Production needs one, on a lasting disk."""
    revocation_age_max_s: float = Field(default=60.0, ge=5, le=60)
    """Without news of revocations for so long, protected routes answer 503."""
    shutdown_grace_s: int = Field(default=20, ge=0)
    """How long running requests may take to end after SIGTERM."""

    @model_validator(mode="after")
    def _is_whole_tls(self) -> Self:
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if any(files) and not all(files):
            raise ValueError("certificate, key and CA file belong together: set all three or none")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """`None` only in development."""
        if not (self.tls_certificate_file and self.tls_key_file and self.tls_ca_file):
            return None
        return TlsFiles(
            self.tls_certificate_file, self.tls_key_file, self.tls_ca_file, self.tls_crl_file
        )

    def secret_names(self) -> tuple[str, ...]:
        """Those that the module reads. Production wants them random."""
        return ()

    def secret_files(self) -> Mapping[str, Path]:
        """Of secrets whose place a setting `<name>_file` tells."""
        named = {name: getattr(self, f"{name}_file", None) for name in self.secret_names()}
        return {name: path for name, path in named.items() if path is not None}

    def faults(self) -> Iterator[str]:
        """What production refuses to start with, a line each, and how to mend it."""
        if self.tls is None:
            yield "there is no TLS: set ARTSTORE_TLS_CERTIFICATE_FILE, _KEY_FILE and _CA_FILE"
        if self.debug:
            yield "debug is on, and with it /docs and /openapi.json: unset ARTSTORE_DEBUG"
        if "*" in self.cors_origins:
            yield "CORS is open for every origin: list them by name in ARTSTORE_CORS_ORIGINS"
        yield from secrets_in_environment(os.environ)


class DatabaseSettings(ModuleSettings):
    database_url: str
    """`postgresql+psycopg://user@host/name`, without a password."""
    database_password_file: Path | None = None
    database_ca_file: Path | None = None
    """Authority of the server's certificate, if it is not the one of ours."""

    @property
    def database_address(self) -> str:
        """The URL to use: with TLS from both sides where the server is on another machine."""
        return secured(self.database_url, towards(self.tls, self.database_ca_file))

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from postgres_faults(self.database_url)


class ScannerSettings(ModuleSettings):
    """For modules that have content scanned for viruses."""

    antivirus_address: str | None = Field(
        default=None, pattern=r"^(unix:///.+|tcp://[^/:\s]+:[0-9]{1,5})$"
    )
    """Of clamd. Without one nothing is scanned, and files that must be are refused or marked."""
    antivirus_bytes_max: int = Field(default=100 << 20, ge=1 << 10, le=(1 << 31) - 1)
    """Larger files are not scanned. At most clamd's `StreamMaxLength` and `MaxFileSize`."""


class ValkeyReaderSettings(ModuleSettings):
    """For modules that may hear of revocations from Valkey too, and so outlive the admin module.
    URL and name, or neither."""

    valkey_url: str | None = None
    """`unix:///path`, `rediss://host:port/0`, or `redis://` on this machine; no credentials."""
    valkey_username: str | None = None
    valkey_password_file: Path | None = None
    valkey_ca_file: Path | None = None
    """Authority of its certificate, if it is not the one of ours."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.valkey_url is None) != (self.valkey_username is None):
            raise ValueError("URL and user name of Valkey belong together")
        return self

    def secret_names(self) -> tuple[str, ...]:
        return ("valkey_password",) if self.valkey_url else ()

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.valkey_url:
            yield from valkey_faults(self.valkey_url)


def read_secret(path: Path) -> str:
    """The secret in a file, without surrounding white space.

    A group may read it only where the file is somebody else's: that is how Kubernetes hands a
    secret to a process that is not root.

    Raises:
        ConfigurationError: The file is missing, empty, or others may read it.
    """
    try:
        facts = path.stat()
        is_ours = facts.st_uid == os.geteuid()
        forbidden = stat.S_IRWXO | (stat.S_IRWXG if is_ours else stat.S_IWGRP)
        if facts.st_mode & forbidden:
            raise ConfigurationError(f"{path}: others may read this secret; run: chmod 600 {path}")
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{path}: the secret cannot be read ({reason})") from None
    if not secret:
        raise ConfigurationError(f"{path}: the secret is empty")
    return secret


def secrets_in_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each. Whoever sees a process sees its environment, and children inherit it."""
    endings = ("_PASSWORD", "_SECRET", "_SECRET_ID", "_SECRET_KEY", "_TOKEN", "_CREDENTIALS")
    for name in sorted(environment):
        secret = name.endswith(endings) or name.endswith(("_ACCESS_KEY", "_ENCRYPTION_KEY"))
        if name.startswith(VARIABLE_PREFIX) and secret:
            yield (
                f"{name} holds a secret in the environment: unset it, "
                f"and name a file in {name}{SECRET_SUFFIX}"
            )


def postgres_faults(url: str, variable: str = "ARTSTORE_DATABASE_URL") -> Iterator[str]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.password or "password" in query:
        yield f"{variable} holds a password: move it into ARTSTORE_DATABASE_PASSWORD_FILE"
    if crosses_network(url) and query.get("sslmode", [VERIFIED]) != [VERIFIED]:
        yield (
            f"{variable} reaches another machine without TLS that is checked: leave out sslmode, "
            f"so that it is sslmode={VERIFIED}"
        )


def valkey_faults(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.password or "password" in query:
        yield "ARTSTORE_VALKEY_URL holds a password: move it into ARTSTORE_VALKEY_PASSWORD_FILE"
    plain = parts.scheme == "redis" and crosses_network(url)
    if plain or any(name.startswith("ssl_") for name in query):
        yield (
            "ARTSTORE_VALKEY_URL reaches another machine without TLS that is checked: begin it "
            "with rediss:// and leave out ssl_ options; ARTSTORE_VALKEY_CA_FILE names an authority"
        )


def http_faults(url: str | None, variable: str) -> Iterator[str]:
    if url and url.startswith("http://") and crosses_network(url):
        yield f"{variable} reaches another machine without TLS: begin it with https://"
