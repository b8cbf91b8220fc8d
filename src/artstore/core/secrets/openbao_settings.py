"""Where OpenBao (or HashiCorp Vault) is, and what this module gets of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from artstore.core.settings import http_faults


class OpenBaoSettings(BaseSettings):
    """Variables are `ARTSTORE_OPENBAO_` and the field in capitals. Without a URL it is not used."""

    model_config = SettingsConfigDict(
        env_prefix="ARTSTORE_OPENBAO_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    ca_file: Path | None = None
    """Of its certificate; otherwise the authorities of the system."""
    role_id: str | None = None
    """Of the AppRole of this module."""
    secret_id_file: Path | None = None
    secret_id_wrapped: bool = False
    """The file holds a wrapping token instead. It opens once: who finds it used knows that
    somebody else was there. Each start needs a new one."""
    kv_mount: str = "secret"
    kv_path: str | None = None
    """Where the secrets lie in the engine KV v2; otherwise `artstore/<module>`."""
    database_mount: str = "database"
    database_role: str | None = None
    """Of the database engine: it makes `database_password`, with a name of its own."""
    pki_mount: str = "pki"
    pki_role: str | None = None
    """Of the PKI engine: it makes this module's certificate, written into its TLS files."""
    refresh_s: float = Field(default=60.0, ge=1, le=600)
    """How often it is asked what is new."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """Of one request."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.url and not (self.role_id and self.secret_id_file):
            raise ValueError("OpenBao needs role_id and secret_id_file of an AppRole")
        return self

    def faults(self) -> Iterator[str]:
        yield from http_faults(self.url, "ARTSTORE_OPENBAO_URL")
