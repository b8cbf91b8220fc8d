"""The audit log: outbox, index, keys, checkpoints, how far feeds were taken over."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS audit")
    _create_events()
    _index_events()
    _create_log()
    _create_sources()


def _event_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("event_id", sa.Uuid, nullable=False, unique=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("person", sa.Text),
        sa.Column("account", sa.Text),
        sa.Column("file_id", sa.Uuid),
        sa.Column("collection", sa.Text),
        sa.Column("element_id", sa.Text),
        sa.Column("entry", sa.LargeBinary, nullable=False, comment="the leaf of the log"),
        sa.Column(
            "facts",
            sa.LargeBinary,
            comment="JSON: what opens the commitments; NULL when erased",
        ),
    ]


def _create_events() -> None:
    op.create_table(
        "outbox",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        *_event_columns(),
        schema="audit",
    )
    # A queue: rows that were taken out must not pile up in front of the oldest one.
    op.execute(
        "ALTER TABLE audit.outbox SET"
        " (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000)"
    )
    op.create_table(
        "events",
        sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
        *_event_columns(),
        schema="audit",
    )


def _index_events() -> None:
    for name, columns, where in (
        ("events_at", [], None),
        ("events_kind", ["kind"], None),
        ("events_person", ["person"], "person IS NOT NULL"),
        ("events_account", ["account"], "account IS NOT NULL"),
        ("events_collection", ["collection"], "collection IS NOT NULL"),
        ("events_element", ["element_id"], "element_id IS NOT NULL"),
        ("events_trouble", [], "outcome <> 'succeeded'"),
    ):
        op.create_index(
            name,
            "events",
            [*columns, "at", "log_index"],
            schema="audit",
            postgresql_where=sa.text(where) if where else None,
        )

    op.create_index(
        "events_file",
        "events",
        ["file_id", "log_index"],
        schema="audit",
        postgresql_where=sa.text("file_id IS NOT NULL"),
    )


def _create_log() -> None:
    op.create_table(
        "log",
        sa.Column("singleton", sa.Boolean, primary_key=True, server_default=sa.text("true")),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column(
            "size", sa.BigInteger, nullable=False, server_default="0", comment="entries indexed"
        ),
        sa.Column(
            "planned_size",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="being appended",
        ),
        sa.CheckConstraint("singleton", name="log_is_one"),
        schema="audit",
    )
    op.create_table(
        "log_keys",
        sa.Column(
            "verifier_key", sa.Text, primary_key=True, comment="vkey of c2sp.org/signed-note"
        ),
        sa.Column("signing_key", sa.LargeBinary, nullable=False, comment="encrypted"),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("retired_at", _TIME),
        schema="audit",
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
        sa.Column("signed_at", _TIME, nullable=False),
        sa.Column("witnesses", sa.SmallInteger, nullable=False, server_default="0"),
        schema="audit",
    )
    op.create_table(
        "witnesses",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column(
            "size", sa.BigInteger, nullable=False, comment="the largest state it has cosigned"
        ),
        sa.Column("cosigned_at", _TIME, nullable=False),
        schema="audit",
    )


def _create_sources() -> None:
    op.create_table(
        "feeds",
        sa.Column("element_id", sa.Text, primary_key=True),
        sa.Column("feed_id", sa.Text, primary_key=True),
        sa.Column(
            "seq",
            sa.BigInteger,
            nullable=False,
            comment="changes up to this one have their events",
        ),
        sa.Column("since", _TIME, nullable=False),
        schema="audit",
    )
    op.create_table(
        "intents",
        sa.Column("intent_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("file_id", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("actor", sa.LargeBinary, nullable=False, comment="JSON: Actor"),
        sa.Column("facts", sa.LargeBinary, nullable=False, comment="JSON: personal facts"),
        schema="audit",
    )
    op.create_index("intents_correlation", "intents", ["correlation_id"], schema="audit")
