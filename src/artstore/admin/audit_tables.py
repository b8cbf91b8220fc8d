"""Tables of the schema `audit`: events on their way into the log, and an index of those in it.

The log itself is files (docs/design/audit.md). Of what is here, only the outbox, the keys, the
facts behind commitments and how far each feed was taken over cannot be made again from them.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

SCHEMA = "audit"

metadata = MetaData(schema=SCHEMA)

_TIME = DateTime(timezone=True)


def _event_columns(*, unique: bool) -> list[Column[Any]]:
    return [
        Column("event_id", Uuid, nullable=False, unique=unique),
        Column("at", _TIME, nullable=False),
        Column("kind", Text, nullable=False),
        Column("outcome", Text, nullable=False),
        Column("person", Text),
        Column("account", Text),
        Column("file_id", Uuid),
        Column("collection", Text),
        Column("element_id", Text),
        Column("entry", LargeBinary, nullable=False, comment="the leaf of the log"),
        Column("facts", LargeBinary, comment="JSON: what opens the commitments; NULL when erased"),
    ]


outbox = Table(
    "outbox",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    *_event_columns(unique=False),
)
"""Written in the transaction of the change. The sequencer takes from it what it has logged, and
drops what was told twice."""

events = Table(
    "events",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    *_event_columns(unique=True),
    Index("events_at", "at", "log_index"),
    Index("events_kind", "kind", "at", "log_index"),
    Index(
        "events_person", "person", "at", "log_index", postgresql_where=text("person IS NOT NULL")
    ),
    Index(
        "events_account", "account", "at", "log_index", postgresql_where=text("account IS NOT NULL")
    ),
    Index("events_file", "file_id", "log_index", postgresql_where=text("file_id IS NOT NULL")),
    Index(
        "events_collection",
        "collection",
        "at",
        "log_index",
        postgresql_where=text("collection IS NOT NULL"),
    ),
    Index(
        "events_element",
        "element_id",
        "at",
        "log_index",
        postgresql_where=text("element_id IS NOT NULL"),
    ),
    Index("events_trouble", "at", "log_index", postgresql_where=text("outcome <> 'succeeded'")),
)
"""The index of the log, for queries. The log is right where the two differ."""

log = Table(
    "log",
    metadata,
    Column("singleton", Boolean, primary_key=True, server_default=text("true")),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False, server_default="0", comment="entries indexed"),
    Column(
        "planned_size", BigInteger, nullable=False, server_default="0", comment="being appended"
    ),
    CheckConstraint("singleton", name="log_is_one"),
)

log_keys = Table(
    "log_keys",
    metadata,
    Column("verifier_key", Text, primary_key=True, comment="vkey of c2sp.org/signed-note"),
    Column("signing_key", LargeBinary, nullable=False, comment="encrypted"),
    Column("created_at", _TIME, nullable=False),
    Column("retired_at", _TIME),
)

receipt_keys = Table(
    "receipt_keys",
    metadata,
    Column("kid", Text, primary_key=True, comment="RFC 7638 thumbprint"),
    Column("public_x", Text, nullable=False, comment="Ed25519, base64url"),
    Column("service", Text, nullable=False, comment="who signs with it"),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("event_id", Uuid, nullable=False, comment="the event that it was registered"),
    Index("receipt_keys_order", "created_at", "kid"),
)
"""Public halves of the keys for deposit receipts, kept for good: receipts are shown in decades."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    Column("signed_at", _TIME, nullable=False),
    Column("witnesses", SmallInteger, nullable=False, server_default="0"),
)
"""One a minute at most, and all that a witness cosigned. Exports carry them."""

feeds = Table(
    "feeds",
    metadata,
    Column("element_id", Text, primary_key=True),
    Column("feed_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False, comment="changes up to this one have their events"),
    Column("since", _TIME, nullable=False),
)

intents = Table(
    "intents",
    metadata,
    Column("intent_id", BigInteger, Identity(always=True), primary_key=True),
    Column("correlation_id", Text, nullable=False),
    Column("file_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("asked_at", _TIME, nullable=False),
    Column("done", Boolean, nullable=False, server_default=text("false")),
    Column("actor", LargeBinary, nullable=False, comment="JSON: Actor"),
    Column("facts", LargeBinary, nullable=False, comment="JSON: personal facts"),
    Index("intents_correlation", "correlation_id"),
)
"""Who asked an element for a change. The element's feed tells that it happened, this by whom."""

witnesses = Table(
    "witnesses",
    metadata,
    Column("name", Text, primary_key=True),
    Column("size", BigInteger, nullable=False, comment="the largest state it has cosigned"),
    Column("cosigned_at", _TIME, nullable=False),
)
