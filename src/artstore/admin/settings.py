"""Settings of the admin module. Secrets are named by the file that holds them."""

from pathlib import Path

from pydantic import Field

from artstore.core.settings import ModuleSettings


class AdminSettings(ModuleSettings):
    database_url: str
    """`postgresql+psycopg://user@host/name`, without a password."""
    database_password_file: Path
    database_pool_size: int = Field(default=10, ge=2, le=100)
    """Connections for requests. Each followed element holds one more of its own."""
    valkey_url: str
    """`unix:///path` or `redis://host:port/0`, without credentials."""
    valkey_username: str
    valkey_password_file: Path
    issuer: str = Field(pattern=r"^https?://[^\s/]+$")
    """The public origin. Stands in every token, so all modules must agree on it."""
    key_encryption_key_file: Path
    """32 random bytes in base64url. Encrypts the signing keys in the database."""
    access_token_lifetime_s: int = Field(default=1800, ge=60, le=3600)
    feed_wait_s: int = Field(default=20, ge=1, le=60)
    """How long a storage element may hold back an answer when nothing changes."""
    audit_folder: Path
    """Where the files of the audit log lie. They outlive everything else: keep them on a disk
    of their own, and on one that can only be added to where there is one."""
    audit_witnesses_file: Path | None = None
    """Who confirms the log's states: a line for each, its URL and public keys."""
    audit_witness_quorum: int = Field(default=0, ge=0)
    """How many of them must have confirmed a state before proofs are made in it."""
    audit_backlog_max: int = Field(default=5_000_000, ge=1)
    """Events that may wait for the log, about 1.5 KB each. Then nothing more is changed."""
    job_lease_s: float = Field(default=15, ge=1, le=600)
    """After so long a silence an instance is taken for dead, and its jobs go on elsewhere."""
