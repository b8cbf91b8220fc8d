"""Collections, jobs, copies of files on further elements, draining elements."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_OPEN = sa.text("state IN ('queued', 'running', 'waiting')")

# Of two elements that hold a file the merge keeps one in the table of files. Whichever gives
# way is written down here, in the same statement: no other place sees the row as it was.
_REMEMBER = """
CREATE FUNCTION catalogue.remember_holder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO catalogue.copies (file_id, element_id, revision, state, generation)
    VALUES (OLD.file_id, OLD.element_id, OLD.revision, OLD.state, OLD.generation)
    ON CONFLICT (file_id, element_id) DO NOTHING;
    RETURN NULL;
END $$
"""
_ON_CHANGE = """
CREATE TRIGGER files_remember_holder AFTER UPDATE OF element_id ON catalogue.files
FOR EACH ROW WHEN (OLD.element_id <> NEW.element_id)
EXECUTE FUNCTION catalogue.remember_holder()
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS policy")
    op.execute("CREATE SCHEMA IF NOT EXISTS jobs")
    _create_collections()
    _create_jobs()
    _create_copies()
    _widen_elements()
    op.execute(_REMEMBER)
    op.execute(_ON_CHANGE)


def _time(name: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, _TIME, nullable=False, server_default=sa.func.now(), **options)  # type: ignore[arg-type]


def _create_collections() -> None:
    op.create_table(
        "collections",
        sa.Column("collection", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False, server_default=""),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("copies", sa.SmallInteger, nullable=False, server_default="1"),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("copies IN (1, 2)", name="collections_copies_known"),
        schema="policy",
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False, comment="what it is about"),
        sa.Column("payload", JSONB, nullable=False, server_default="{}"),
        sa.Column("state", sa.Text, nullable=False, server_default="queued"),
        sa.Column(
            "attempt", sa.Integer, nullable=False, server_default="0", comment="who may write"
        ),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0", comment="in a row"),
        _time("run_after"),
        sa.Column("lease_until", _TIME),
        sa.Column("worker", sa.Text),
        sa.Column("wanted_again", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("cancel_wanted", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("progress", JSONB, nullable=False, server_default="{}"),
        sa.Column("last_error", sa.Text),
        _time("created_at"),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'waiting', 'done', 'failed', 'cancelled')",
            name="jobs_state_known",
        ),
        schema="jobs",
    )
    op.create_index(
        "jobs_one_open",
        "jobs",
        ["kind", "key"],
        unique=True,
        schema="jobs",
        postgresql_where=_OPEN,
    )
    for name, column, state in (
        ("jobs_next", "run_after", "queued"),
        ("jobs_leases", "lease_until", "running"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "jobs", [column], schema="jobs", postgresql_where=where)


def _create_copies() -> None:
    op.create_table(
        "copies",
        sa.Column("file_id", sa.Uuid, primary_key=True),
        sa.Column("element_id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column(
            "generation",
            sa.Integer,
            nullable=False,
            comment="listing of the element it stems from",
        ),
        _time("seen_at", comment="when the element last said so"),
        sa.CheckConstraint(
            "state IN ('present', 'deleted', 'missing', 'damaged')", name="copies_state_known"
        ),
        schema="catalogue",
    )
    op.create_index(
        "copies_element", "copies", ["element_id", "state", "file_id"], schema="catalogue"
    )
    op.create_table(
        "copies_due",
        sa.Column("file_id", sa.Uuid, primary_key=True),
        _time("asked_at"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        _time("not_before"),
        sa.Column("trouble", sa.Text, comment="why its copies are not as they should be"),
        schema="catalogue",
    )
    op.create_index("copies_due_order", "copies_due", ["not_before"], schema="catalogue")


def _widen_elements() -> None:
    op.add_column(
        "elements",
        sa.Column("drain", sa.Text, nullable=False, server_default="off"),
        schema="catalogue",
    )
    op.create_check_constraint(
        "elements_drain_known",
        "elements",
        "drain IN ('off', 'draining', 'drained')",
        schema="catalogue",
    )
