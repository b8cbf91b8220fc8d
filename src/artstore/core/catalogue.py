"""The catalogue: PostgreSQL tables that make files findable. Derived, never the truth.

The admin module migrates and writes these tables, the query module reads them. Each row of
`files` follows from one attr.json and the element that holds it, and from nothing else, so a
rebuild gives the same rows (only `generation`, which counts listings, may differ).
"""

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

SCHEMA = "catalogue"
READER_GROUP = "artstore_catalogue_reader"
"""The database role that may read the schema; the query module's role is a member."""

FILE_STATES = ("present", "deleted", "missing")
"""`missing`: the catalogue knows it and the last listing of its element lacked it. Absence is
never deletion; only a `deleted` change of the element makes a file `deleted`."""

SCAN_STATES = ("clean", "infected", "unscanned", "pending")
"""`pending`: not scanned for a reason that may pass, so it is tried again."""

ELEMENT_STATES = ("new", "listing", "following")

COPY_STATES = ("present", "deleted", "missing", "damaged")
"""`damaged`: the element itself found that it cannot hand the file out as it was stored."""

DRAIN_STATES = ("off", "draining", "drained")
"""What is not `off` gets no new files. `drained`: every file of it is elsewhere as well."""

SEARCH_CONFIGURATIONS = ("russian", "english", "simple")
"""Text search configurations that `files.search` is made with, in this order."""

SEARCH_VECTOR = " || ".join(
    f"to_tsvector('{name}'::regconfig, search_text)" for name in SEARCH_CONFIGURATIONS
)

_NOT_WORDS = re.compile(r"[\W_]+")

metadata = MetaData(schema=SCHEMA)


def search_words(text: str) -> str:
    """The words of `text`, a space between them: what is indexed, and what a query looks for.

    Both sides use this one function, so that they cut words alike: `Invoice_2026-11.pdf`
    is found by any of its parts. PostgreSQL alone would take it for one host name.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("ё", "е").replace("Ё", "Е")
    return _NOT_WORDS.sub(" ", text).strip()


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


files = Table(
    "files",
    metadata,
    Column("file_id", Uuid, primary_key=True),
    Column("element_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("collection", Text, nullable=False),
    # NUL, which PostgreSQL cannot hold, stands as U+FFFD in every text; `record` is exact.
    Column("original_filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("uploaded_at", DateTime(timezone=True), nullable=False),
    Column("uploaded_by", Text, nullable=False, comment="subject of the person or account"),
    Column("tags", ARRAY(Text), nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("retain_until", DateTime(timezone=True)),
    Column("scan", Text, comment="how the scan for viruses ended, if there was one"),
    Column("record", LargeBinary, nullable=False, comment="the bytes of attr.json"),
    Column("search_text", Text, nullable=False),
    Column("search", TSVECTOR, Computed(SEARCH_VECTOR, persisted=True), nullable=False),
    Column("generation", Integer, nullable=False, comment="listing of the element it stems from"),
    CheckConstraint(_one_of("state", FILE_STATES), name="files_state_known"),
    CheckConstraint(_one_of("scan", SCAN_STATES), name="files_scan_known"),
    Index("files_search", "search", postgresql_using="gin"),
    Index("files_tags", "tags", postgresql_using="gin"),
    Index(
        "files_metadata",
        "metadata",
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    ),
    Index("files_collection", "collection", text("file_id DESC")),
    Index("files_sha256", "sha256"),
    Index("files_element", "element_id", "state", "file_id"),
    Index(
        "files_usage",
        "collection",
        "uploaded_by",
        postgresql_include=["size_bytes"],
        postgresql_where=text("state = 'present'"),
    ),
    Index(
        "files_unscanned",
        "collection",
        "file_id",
        postgresql_where=text("scan = 'pending' AND state = 'present'"),
    ),
)
"""Newest first is `ORDER BY file_id DESC`: ids are UUIDv7."""

Index(
    "files_name_trigrams",
    func.lower(files.c.original_filename).label("name"),
    postgresql_using="gin",
    postgresql_ops={"name": "gin_trgm_ops"},
)

elements = Table(
    "elements",
    metadata,
    Column("element_id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default="new"),
    Column("feed_id", Text, comment="history of changes that position_seq belongs to"),
    Column("position_seq", BigInteger, nullable=False, server_default="0"),
    Column("listing_after", Uuid, comment="last file of the listing so far"),
    Column("listing_started_at", DateTime(timezone=True)),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("rebuilds", Integer, nullable=False, server_default="0", comment="ordered so far"),
    Column("trouble", Text, comment="why it is not followed now"),
    Column("last_seen", DateTime(timezone=True)),
    Column(
        "complete_until",
        DateTime(timezone=True),
        comment="all that the element stored before this moment is in the table of files",
    ),
    Column("drain", Text, nullable=False, server_default="off"),
    CheckConstraint(_one_of("state", ELEMENT_STATES), name="elements_state_known"),
    CheckConstraint(_one_of("drain", DRAIN_STATES), name="elements_drain_known"),
)
"""The registry of storage elements, and how far the catalogue has followed each."""

copies = Table(
    "copies",
    metadata,
    Column("file_id", Uuid, primary_key=True),
    Column("element_id", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False, comment="listing of the element it stems from"),
    Column(
        "seen_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when the element last said so",
    ),
    CheckConstraint(_one_of("state", COPY_STATES), name="copies_state_known"),
    Index("copies_element", "element_id", "state", "file_id"),
)
"""Who holds a file: a row for each element, for files that more than one has or that are
damaged. Of all others the table of files says it alone."""

copies_due = Table(
    "copies_due",
    metadata,
    Column("file_id", Uuid, primary_key=True),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("trouble", Text, comment="why its copies are not as they should be"),
    Index("copies_due_order", "not_before"),
)
"""Files whose copies have to be looked at: they changed, or did not get done at once."""

restores = Table(
    "restores",
    metadata,
    Column("file_id", Uuid, primary_key=True),
    Column("element_id", Text, nullable=False, comment="where it can be read"),
    Column("source_id", Text, nullable=False, comment="whose archive has it"),
    Column("restored_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("restores_end", "expires_at"),
)
"""Copies of archived files that can be read for a while. They are no files of the element that
has them, so no feed tells of them: without a row such a copy is not found, and nothing is lost."""


CLOCKS_DIFFER_BY_MAX: Final = timedelta(seconds=60)
"""Ids are made by ingesters, `complete_until` is noted by the admin module."""


def covers(complete_until: datetime | None, moment: datetime) -> bool:
    """Whether an element of which `complete_until` is noted cannot hold a file of `moment`
    that the table of files lacks: good enough when the element itself does not answer."""
    return complete_until is not None and complete_until > moment + CLOCKS_DIFFER_BY_MAX
