"""The outbox of the audit takes what it is told twice; the writer of the log drops it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("outbox_event_id_key", "outbox", schema="audit")
