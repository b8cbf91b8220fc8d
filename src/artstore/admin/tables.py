"""Tables of the schema `identity`: who may come in, and the keys that vouch for them.

The catalogue's tables are in `core.catalogue`, since the query module reads them too; those of
the audit in `audit_tables`.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from artstore.admin.audit_tables import metadata as audit_metadata
from artstore.core.catalogue import metadata as catalogue_metadata

SCHEMA = "identity"
VERSION_TABLE = "schema_version"

metadata = MetaData(schema=SCHEMA)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True, comment="RFC 7638 thumbprint"),
    # next: published, not used yet; active: signs; passive: its tokens still live.
    Column("state", Text, nullable=False),
    Column("public_jwk", JSONB, nullable=False),
    Column("private_key", LargeBinary, nullable=False, comment="PKCS 8, encrypted"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("activated_at", DateTime(timezone=True)),
    Column("retired_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('next', 'active', 'passive')", name="signing_keys_state_known"),
    Index(
        "signing_keys_one_active",
        "state",
        unique=True,
        postgresql_where=text("state = 'active'"),
    ),
)

service_accounts = Table(
    "service_accounts",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("client_id", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("secret_hash", Text, nullable=False, comment="argon2id"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("secret_changed_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('active', 'suspended')", name="service_accounts_state_known"),
)

users = Table(
    "users",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("username", Text, nullable=False, unique=True, comment="lower case"),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("password_hash", Text, nullable=False, comment="argon2id"),
    Column("password_change_required", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("password_changed_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('active', 'suspended')", name="users_state_known"),
)

ALL_METADATA = [metadata, catalogue_metadata, audit_metadata]
