"""Copies of archived files that can be read for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "restores",
        sa.Column("file_id", sa.Uuid, primary_key=True),
        sa.Column("element_id", sa.Text, nullable=False, comment="where it can be read"),
        sa.Column("source_id", sa.Text, nullable=False, comment="whose archive has it"),
        sa.Column("restored_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        schema="catalogue",
    )
    op.create_index("restores_end", "restores", ["expires_at"], schema="catalogue")
