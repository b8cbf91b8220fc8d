"""Tables of the schema `identity`: who may come in, and the keys that vouch for them.

The catalogue's tables are in `core.catalogue`, since the query module reads them too; those of
the audit in `audit_tables`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from artstore.admin.audit_tables import metadata as audit_metadata
from artstore.admin.work_tables import jobs_metadata, policy_metadata
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
    Column("previous_secret_hash", Text, comment="argon2id; good until previous_secret_until"),
    Column("previous_secret_until", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True), comment="to the minute"),
    Column("requests_per_minute", Integer),
    # Only what `grants` says, instead of all collections.
    Column("restricted", Boolean, nullable=False, server_default=false()),
    # Tokens say the epoch they were made in; older ones than this were revoked.
    Column("token_epoch", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("state IN ('active', 'suspended')", name="service_accounts_state_known"),
)

users = Table(
    "users",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("username", Text, nullable=False, unique=True, comment="lower case"),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("password_hash", Text, comment="argon2id; none for people of a provider"),
    Column("password_change_required", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("password_changed_at", DateTime(timezone=True), nullable=False),
    Column("last_used_at", DateTime(timezone=True), comment="the last sign-in"),
    Column("restricted", Boolean, nullable=False, server_default=false()),
    Column("token_epoch", Integer, nullable=False, server_default=text("0")),
    # Who vouches for them from outside, and how that one calls them: never by a name.
    Column("provider", Text, comment="its issuer"),
    Column("provider_subject", Text),
    CheckConstraint("state IN ('active', 'suspended')", name="users_state_known"),
    CheckConstraint(
        "(provider IS NULL) = (provider_subject IS NULL)"
        " AND (provider IS NULL) = (password_hash IS NOT NULL)",
        name="users_come_in_one_way",
    ),
    Index("users_from_outside", "provider", "provider_subject", unique=True),
)

grants = Table(
    "grants",
    metadata,
    Column("subject", Text, primary_key=True, comment="user:<id> or account:<id>"),
    Column("collection", Text, primary_key=True),
    Column("rights", ARRAY(Text), nullable=False, comment="of read, write, delete, manage"),
    Column("ends_at", DateTime(timezone=True)),
    Column("granted_at", DateTime(timezone=True), nullable=False),
    Column("granted_by", Text, nullable=False),
)

revocations = Table(
    "revocations",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False, comment="id of the token, session, account or key"),
    Column("epoch", Integer, comment="of an account: tokens of earlier epochs are revoked"),
    Column("issued_before", DateTime(timezone=True), comment="of all tokens"),
    # Then the last token that it concerns has ended by itself.
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True), nullable=False),
    Column("revoked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint(
        "kind IN ('token', 'session', 'account', 'key', 'everything')",
        name="revocations_kind_known",
    ),
    Index("revocations_ends_at", "ends_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("identity.users.user_id"), nullable=False),
    Column("refresh_key", LargeBinary, nullable=False, comment="encrypted"),
    Column("refresh_number", Integer, nullable=False, comment="of the one good refresh token"),
    Column("methods", ARRAY(Text), nullable=False, comment="amr of RFC 8176"),
    Column("authenticated_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_used_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Index("sessions_user", "user_id", postgresql_where=text("ended_at IS NULL")),
)

one_time_passwords = Table(
    "one_time_passwords",
    metadata,
    Column("user_id", Uuid, ForeignKey("identity.users.user_id"), primary_key=True),
    Column("secret", LargeBinary, nullable=False, comment="encrypted"),
    Column("confirmed", Boolean, nullable=False),
    Column("last_step", BigInteger, nullable=False, comment="no step is accepted twice"),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("credential_id", LargeBinary, primary_key=True),
    Column("user_id", Uuid, ForeignKey("identity.users.user_id"), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_used_at", DateTime(timezone=True)),
    Index("passkeys_user", "user_id"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Uuid, ForeignKey("identity.users.user_id"), primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True, comment="SHA-256 of 120 random bits"),
    Column("used_at", DateTime(timezone=True)),
)

challenges = Table(
    "challenges",
    metadata,
    Column("challenge_id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("identity.users.user_id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("challenge", LargeBinary, nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
)

used_tickets = Table(
    "used_tickets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("ends_at", DateTime(timezone=True), nullable=False),
)

ALL_METADATA = [metadata, catalogue_metadata, audit_metadata, policy_metadata, jobs_metadata]
