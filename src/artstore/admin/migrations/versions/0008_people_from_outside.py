"""People whom an outside identity provider vouches for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SCHEMA = "identity"


def upgrade() -> None:
    op.alter_column(
        "users",
        "password_hash",
        nullable=True,
        comment="argon2id; none for people of a provider",
        schema=_SCHEMA,
    )
    op.add_column("users", sa.Column("provider", sa.Text, comment="its issuer"), schema=_SCHEMA)
    op.add_column("users", sa.Column("provider_subject", sa.Text), schema=_SCHEMA)
    op.create_check_constraint(
        "users_come_in_one_way",
        "users",
        "(provider IS NULL) = (provider_subject IS NULL)"
        " AND (provider IS NULL) = (password_hash IS NOT NULL)",
        schema=_SCHEMA,
    )
    op.create_index(
        "users_from_outside",
        "users",
        ["provider", "provider_subject"],
        unique=True,
        schema=_SCHEMA,
    )
    op.create_table(
        "used_tickets",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        schema=_SCHEMA,
    )
