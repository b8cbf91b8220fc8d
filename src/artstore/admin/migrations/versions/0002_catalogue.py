"""The catalogue of files and the registry of storage elements."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_SEARCH_VECTOR = (
    "to_tsvector('russian'::regconfig, search_text)"
    " || to_tsvector('english'::regconfig, search_text)"
    " || to_tsvector('simple'::regconfig, search_text)"
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute("CREATE SCHEMA IF NOT EXISTS catalogue")
    _create_files()
    _index_files()
    _create_elements()


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("file_id", sa.Uuid, primary_key=True),
        sa.Column("element_id", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("original_filename", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("uploaded_at", _TIME, nullable=False),
        sa.Column(
            "uploaded_by", sa.Text, nullable=False, comment="subject of the person or account"
        ),
        sa.Column("tags", ARRAY(sa.Text), nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("retain_until", _TIME),
        sa.Column("record", sa.LargeBinary, nullable=False, comment="the bytes of attr.json"),
        sa.Column("search_text", sa.Text, nullable=False),
        sa.Column("search", TSVECTOR, sa.Computed(_SEARCH_VECTOR, persisted=True), nullable=False),
        sa.Column(
            "generation",
            sa.Integer,
            nullable=False,
            comment="listing of the element it stems from",
        ),
        sa.CheckConstraint("state IN ('present', 'deleted', 'missing')", name="files_state_known"),
        schema="catalogue",
    )


def _index_files() -> None:
    gin: dict[str, list[str | sa.TextClause]] = {
        "files_search": ["search"],
        "files_tags": ["tags"],
        "files_metadata": [sa.text("metadata jsonb_path_ops")],
        "files_name_trigrams": [sa.text("lower(original_filename) gin_trgm_ops")],
    }
    btree: dict[str, list[str | sa.TextClause]] = {
        "files_collection": ["collection", sa.text("file_id DESC")],
        "files_sha256": ["sha256"],
        "files_element": ["element_id", "state", "file_id"],
    }
    for name, columns in gin.items():
        op.create_index(name, "files", columns, schema="catalogue", postgresql_using="gin")
    for name, columns in btree.items():
        op.create_index(name, "files", columns, schema="catalogue")


def _create_elements() -> None:
    op.create_table(
        "elements",
        sa.Column("element_id", sa.Text, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="new"),
        sa.Column("feed_id", sa.Text, comment="history of changes that position_seq belongs to"),
        sa.Column("position_seq", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("listing_after", sa.Uuid, comment="last file of the listing so far"),
        sa.Column("listing_started_at", _TIME),
        sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
        sa.Column(
            "rebuilds", sa.Integer, nullable=False, server_default="0", comment="ordered so far"
        ),
        sa.Column("trouble", sa.Text, comment="why it is not followed now"),
        sa.Column("last_seen", _TIME),
        sa.Column(
            "complete_until",
            _TIME,
            comment="all that the element stored before this moment is in the table of files",
        ),
        sa.CheckConstraint("state IN ('new', 'listing', 'following')", name="elements_state_known"),
        schema="catalogue",
    )
