"""Public keys of deposit receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "receipt_keys",
        sa.Column("kid", sa.Text, primary_key=True, comment="RFC 7638 thumbprint"),
        sa.Column("public_x", sa.Text, nullable=False, comment="Ed25519, base64url"),
        sa.Column("service", sa.Text, nullable=False, comment="who signs with it"),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False, comment="the event that it was registered"),
        schema="audit",
    )
    op.create_index("receipt_keys_order", "receipt_keys", ["created_at", "kid"], schema="audit")
