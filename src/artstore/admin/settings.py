"""Settings of the admin module. Secrets are named by the file that holds them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from artstore.core.model.account import UserRole
from artstore.core.settings import (
    DatabaseSettings,
    http_faults,
    valkey_faults,
)

_BUCKET = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$"

_PROVIDER = r"^https://[^\s?#]+$"


class AdminSettings(DatabaseSettings):
    database_pool_size: int = Field(default=10, ge=2, le=100)
    """Connections for requests. Each followed element holds one more of its own."""
    valkey_url: str
    """`unix:///path`, `rediss://host:port/0`, or `redis://` on this machine; no credentials."""
    valkey_username: str
    valkey_password_file: Path | None = None
    valkey_ca_file: Path | None = None
    """Authority of its certificate, if it is not the one of ours."""
    issuer: str = Field(pattern=r"^https?://[^\s/]+$")
    """The public origin. Stands in every token, so all modules must agree on it."""
    key_encryption_key_file: Path | None = None
    """32 random bytes in base64url. Encrypts the signing keys in the database."""
    access_token_lifetime_s: int = Field(default=1800, ge=60, le=3600)
    second_factor_roles: frozenset[UserRole] = frozenset(UserRole)
    """People of these roles need a second factor; their first sign-in leads through setting it
    up. Everybody who has one is asked for it."""
    oidc_issuer: str | None = Field(default=None, pattern=_PROVIDER)
    """An outside identity provider where people may sign in, exactly as it calls itself. Needs
    the client id, the secret `oidc_client_secret` and roles."""
    oidc_name: str = "single sign-on"
    """What people call it."""
    oidc_client_id: str | None = None
    oidc_client_secret_file: Path | None = None
    oidc_ca_file: Path | None = None
    """The authority of its certificate, PEM; by default any that the system trusts."""
    oidc_scope: str = "openid profile groups"
    oidc_groups_claim: str = "groups"
    """Where the ID token names the groups of a person."""
    oidc_roles: Mapping[str, UserRole] = {}
    """Which role a group gives, `{"archivists": "admin"}`. Of several the most powerful one;
    without any nobody gets in."""
    oidc_second_factor_values: frozenset[str] = frozenset()
    """Values of `amr` or `acr` that say the provider asked for a second factor, and that this is
    trusted. Otherwise people need one here, as those with a password do."""
    feed_wait_s: int = Field(default=20, ge=1, le=60)
    """How long a storage element may hold back an answer when nothing changes."""
    audit_folder: Path
    """Where the files of the audit log lie. They outlive everything else: keep them on a disk
    of their own, and on one that can only be added to where there is one."""
    audit_bucket: str | None = Field(default=None, pattern=_BUCKET)
    """Where they lie instead: `s3://bucket/prefix`. The folder stays empty then."""
    audit_worm_bucket: str | None = Field(default=None, pattern=_BUCKET)
    """Where those of them go that never change again, best a bucket with object lock."""
    audit_s3_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    audit_s3_region: str = "us-east-1"
    audit_s3_credentials_file: Path | None = None
    """Access key id and secret access key of both buckets, one a line."""
    audit_timestamp_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """A time-stamping authority (RFC 3161) that is asked to confirm states of the log."""
    audit_timestamp_ca_file: Path | None = None
    """Its root certificates, PEM; without them its answers are worth nothing."""
    audit_timestamp_interval_s: int = Field(default=86_400, ge=10)
    audit_witnesses_file: Path | None = None
    """Who confirms the log's states: a line for each, its URL and public keys."""
    audit_witness_quorum: int = Field(default=0, ge=0)
    """How many of them must have confirmed a state before proofs are made in it."""
    audit_backlog_max: int = Field(default=5_000_000, ge=1)
    """Events that may wait for the log, about 1.5 KB each. Then nothing more is changed."""
    restore_lifetime_s: int = Field(default=30 * 86_400, ge=1)
    """How long an archived file can be read after its restore."""
    job_lease_s: float = Field(default=15, ge=1, le=600)
    """After so long a silence an instance is taken for dead, and its jobs go on elsewhere."""

    @model_validator(mode="after")
    def _provider_fits(self) -> Self:
        if self.oidc_issuer is not None and not (self.oidc_client_id and self.oidc_roles):
            raise ValueError("an identity provider needs oidc_client_id and oidc_roles")
        return self

    @model_validator(mode="after")
    def _audit_fits(self) -> Self:
        if (self.audit_timestamp_url is None) != (self.audit_timestamp_ca_file is None):
            raise ValueError("an authority's URL and its certificates belong together")
        return self

    def secret_names(self) -> tuple[str, ...]:
        names = ["database_password", "valkey_password", "key_encryption_key"]
        if self.oidc_issuer:
            names.append("oidc_client_secret")
        if self.audit_bucket or self.audit_worm_bucket:
            names.append("audit_s3_credentials")
        return tuple(names)

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from valkey_faults(self.valkey_url)
        yield from http_faults(self.audit_s3_endpoint, "ARTSTORE_AUDIT_S3_ENDPOINT")
