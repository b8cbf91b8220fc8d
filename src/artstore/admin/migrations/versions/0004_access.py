"""Grants, revocations, sessions and second factors; secrets that overlap."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SCHEMA = "identity"
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _widen_accounts()
    _create_grants()
    _create_revocations()
    _create_sessions()
    _create_second_factors()


def _widen_accounts() -> None:
    for column in (
        sa.Column(
            "previous_secret_hash", sa.Text, comment="argon2id; good until previous_secret_until"
        ),
        sa.Column("previous_secret_until", _TIME),
        sa.Column("expires_at", _TIME),
        sa.Column("last_used_at", _TIME, comment="to the minute"),
        sa.Column("requests_per_minute", sa.Integer),
    ):
        op.add_column("service_accounts", column, schema=_SCHEMA)
    op.add_column(
        "users", sa.Column("last_used_at", _TIME, comment="the last sign-in"), schema=_SCHEMA
    )
    for table in ("service_accounts", "users"):
        op.add_column(
            table,
            sa.Column("restricted", sa.Boolean, nullable=False, server_default=sa.false()),
            schema=_SCHEMA,
        )
        op.add_column(
            table,
            sa.Column("token_epoch", sa.Integer, nullable=False, server_default=sa.text("0")),
            schema=_SCHEMA,
        )


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("subject", sa.Text, primary_key=True, comment="user:<id> or account:<id>"),
        sa.Column("collection", sa.Text, primary_key=True),
        sa.Column(
            "rights", ARRAY(sa.Text), nullable=False, comment="of read, write, delete, manage"
        ),
        sa.Column("ends_at", _TIME),
        sa.Column("granted_at", _TIME, nullable=False),
        sa.Column("granted_by", sa.Text, nullable=False),
        schema=_SCHEMA,
    )


def _create_revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column(
            "value", sa.Text, nullable=False, comment="id of the token, session, account or key"
        ),
        sa.Column(
            "epoch", sa.Integer, comment="of an account: tokens of earlier epochs are revoked"
        ),
        sa.Column("issued_before", _TIME, comment="of all tokens"),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME, nullable=False),
        sa.Column("revoked_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.CheckConstraint(
            "kind IN ('token', 'session', 'account', 'key', 'everything')",
            name="revocations_kind_known",
        ),
        schema=_SCHEMA,
    )
    op.create_index("revocations_ends_at", "revocations", ["ends_at"], schema=_SCHEMA)


def _user(*, primary_key: bool = False) -> "sa.Column[object]":
    return sa.Column(
        "user_id",
        sa.Uuid,
        sa.ForeignKey("identity.users.user_id"),
        primary_key=primary_key,
        nullable=False,
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Uuid, primary_key=True),
        _user(),
        sa.Column("refresh_key", sa.LargeBinary, nullable=False, comment="encrypted"),
        sa.Column(
            "refresh_number", sa.Integer, nullable=False, comment="of the one good refresh token"
        ),
        sa.Column("methods", ARRAY(sa.Text), nullable=False, comment="amr of RFC 8176"),
        sa.Column("authenticated_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        schema=_SCHEMA,
    )
    op.create_index(
        "sessions_user",
        "sessions",
        ["user_id"],
        schema=_SCHEMA,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _create_second_factors() -> None:
    op.create_table(
        "one_time_passwords",
        _user(primary_key=True),
        sa.Column("secret", sa.LargeBinary, nullable=False, comment="encrypted"),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False, comment="no step is accepted twice"),
        sa.Column("created_at", _TIME, nullable=False),
        schema=_SCHEMA,
    )
    op.create_table(
        "passkeys",
        sa.Column("credential_id", sa.LargeBinary, primary_key=True),
        _user(),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME),
        schema=_SCHEMA,
    )
    op.create_index("passkeys_user", "passkeys", ["user_id"], schema=_SCHEMA)
    op.create_table(
        "recovery_codes",
        _user(primary_key=True),
        sa.Column(
            "code_hash", sa.LargeBinary, primary_key=True, comment="SHA-256 of 120 random bits"
        ),
        sa.Column("used_at", _TIME),
        schema=_SCHEMA,
    )
    op.create_table(
        "challenges",
        sa.Column("challenge_id", sa.Uuid, primary_key=True),
        _user(),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("challenge", sa.LargeBinary, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        schema=_SCHEMA,
    )
