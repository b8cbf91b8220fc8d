"""What collections ask of new files, quotas, and how the scan of each file ended."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "collections",
        sa.Column(
            "admission", JSONB, nullable=False, server_default="{}", comment="if not by default"
        ),
        schema="policy",
    )
    _create_quotas()
    _widen_files()


def _create_quotas() -> None:
    op.create_table(
        "account_quotas",
        sa.Column("subject", sa.Text, primary_key=True, comment="user:<id> or account:<id>"),
        sa.Column("quota_bytes", sa.BigInteger),
        sa.Column("quota_files", sa.BigInteger),
        schema="policy",
    )
    op.create_table(
        "usage",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True, comment="of a collection, or the subject"),
        sa.Column("used_bytes", sa.BigInteger, nullable=False),
        sa.Column("used_files", sa.BigInteger, nullable=False),
        sa.Column("counted_at", _TIME, nullable=False),
        sa.CheckConstraint("kind IN ('collection', 'account')", name="usage_kind_known"),
        schema="policy",
    )


def _widen_files() -> None:
    op.add_column(
        "files",
        sa.Column("scan", sa.Text, comment="how the scan for viruses ended, if there was one"),
        schema="catalogue",
    )
    op.create_check_constraint(
        "files_scan_known",
        "files",
        "scan IN ('clean', 'infected', 'unscanned', 'pending')",
        schema="catalogue",
    )
    op.create_index(
        "files_usage",
        "files",
        ["collection", "uploaded_by"],
        schema="catalogue",
        postgresql_include=["size_bytes"],
        postgresql_where=sa.text("state = 'present'"),
    )
    op.create_index(
        "files_unscanned",
        "files",
        ["collection", "file_id"],
        schema="catalogue",
        postgresql_where=sa.text("scan = 'pending' AND state = 'present'"),
    )
