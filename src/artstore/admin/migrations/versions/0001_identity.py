"""Signing keys, service accounts, people.

There are no downgrades: an archive goes back by restoring a backup, never by dropping columns.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_signing_keys()
    _create_service_accounts()
    _create_users()


def _create_signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, primary_key=True, comment="RFC 7638 thumbprint"),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("public_jwk", JSONB, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False, comment="PKCS 8, encrypted"),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("activated_at", _TIME),
        sa.Column("retired_at", _TIME),
        sa.CheckConstraint(
            "state IN ('next', 'active', 'passive')", name="signing_keys_state_known"
        ),
        schema="identity",
    )
    op.create_index(
        "signing_keys_one_active",
        "signing_keys",
        ["state"],
        unique=True,
        schema="identity",
        postgresql_where=sa.text("state = 'active'"),
    )


def _create_service_accounts() -> None:
    op.create_table(
        "service_accounts",
        sa.Column("account_id", sa.Uuid, primary_key=True),
        sa.Column("client_id", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False, comment="argon2id"),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("secret_changed_at", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('active', 'suspended')", name="service_accounts_state_known"),
        schema="identity",
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("username", sa.Text, nullable=False, unique=True, comment="lower case"),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False, comment="argon2id"),
        sa.Column("password_change_required", sa.Boolean, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("password_changed_at", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('active', 'suspended')", name="users_state_known"),
        schema="identity",
    )
