"""Tables of the schemas `policy`, what is wanted, and `jobs`, what is being done about it.

Both are the admin module's own truth: no storage element knows them.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

policy_metadata = MetaData(schema="policy")
jobs_metadata = MetaData(schema="jobs")

collections = Table(
    "collections",
    policy_metadata,
    Column("collection", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("description", Text, nullable=False, server_default=""),
    Column("copies", SmallInteger, nullable=False, server_default="1"),
    Column("admission", JSONB, nullable=False, server_default="{}", comment="if not by default"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("copies IN (1, 2)", name="collections_copies_known"),
)
"""Collections with rules of their own; all others have the defaults."""

account_quotas = Table(
    "account_quotas",
    policy_metadata,
    Column("subject", Text, primary_key=True, comment="user:<id> or account:<id>"),
    Column("quota_bytes", BigInteger),
    Column("quota_files", BigInteger),
)

usage = Table(
    "usage",
    policy_metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True, comment="of a collection, or the subject"),
    Column("used_bytes", BigInteger, nullable=False),
    Column("used_files", BigInteger, nullable=False),
    Column("counted_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("kind IN ('collection', 'account')", name="usage_kind_known"),
)
"""What lies in collections and belongs to accounts that have a quota, when last counted."""

OPEN = "state IN ('queued', 'running', 'waiting')"

jobs = Table(
    "jobs",
    jobs_metadata,
    Column("job_id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False, comment="what it is about"),
    Column("payload", JSONB, nullable=False, server_default="{}"),
    # waiting: until somebody wakes it; queued: until run_after; running: until lease_until.
    Column("state", Text, nullable=False, server_default="queued"),
    Column("attempt", Integer, nullable=False, server_default="0", comment="who may write"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row"),
    Column("run_after", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("lease_until", DateTime(timezone=True)),
    Column("worker", Text),
    Column("wanted_again", Boolean, nullable=False, server_default="false"),
    Column("cancel_wanted", Boolean, nullable=False, server_default="false"),
    Column("progress", JSONB, nullable=False, server_default="{}"),
    Column("last_error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint(
        "state IN ('queued', 'running', 'waiting', 'done', 'failed', 'cancelled')",
        name="jobs_state_known",
    ),
    Index("jobs_one_open", "kind", "key", unique=True, postgresql_where=text(OPEN)),
    Index("jobs_next", "run_after", postgresql_where=text("state = 'queued'")),
    Index("jobs_leases", "lease_until", postgresql_where=text("state = 'running'")),
)
