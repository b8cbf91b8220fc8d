"""Writes rows of `catalogue.files`. One merge for everybody: follower, listing and routes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import binary_copy, copies

Connection = copies.Connection
Stretch = copies.Stretch


class FileRow(NamedTuple):
    """A row of `files`, in the order of the columns; `search` follows from `search_text`."""

    file_id: UUID
    element_id: str
    revision: int
    state: str
    collection: str
    original_filename: str
    size_bytes: int
    content_type: str
    sha256: bytes
    uploaded_at: datetime
    uploaded_by: str
    tags: list[str]
    metadata: bytes
    """JSON text."""
    retain_until: datetime | None
    scan: str | None
    record: bytes
    search_text: str
    generation: int


_COLUMNS: Final = ", ".join(FileRow._fields)

# Lives as long as the connection and is empty outside of a transaction.
_STAGING: Final = f"""
CREATE TEMP TABLE IF NOT EXISTS incoming_files ON COMMIT DELETE ROWS
AS SELECT {_COLUMNS} FROM catalogue.files WITH NO DATA
"""  # noqa: S608
_STAGE: Final = f"COPY incoming_files ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_ADD: Final = f"COPY catalogue.files ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_REPLACED: Final = ", ".join(
    f"{name} = excluded.{name}" for name in FileRow._fields if name not in ("file_id", "generation")
)


def _drains(element_id: str) -> str:
    found = f"SELECT drain <> 'off' FROM catalogue.elements WHERE element_id = {element_id}"  # noqa: S608
    return f"coalesce(({found}), false)"


# On one element the later listing or the higher revision wins. Of two elements that hold the
# same file, the higher revision wins, then the one that is not draining, then the lower name:
# any order of arrival ends alike. The one that gives way is kept in `copies`, by a trigger.
# Sorted, so that two merges of the same files cannot wait for each other.
_MERGE: Final = f"""
WITH merged AS (
    INSERT INTO catalogue.files AS known ({_COLUMNS})
    SELECT {_COLUMNS} FROM incoming_files ORDER BY file_id
    ON CONFLICT (file_id) DO UPDATE
    SET {_REPLACED}, generation = CASE WHEN known.element_id = excluded.element_id
        THEN greatest(known.generation, excluded.generation) ELSE excluded.generation END
    WHERE CASE
        WHEN known.element_id = excluded.element_id THEN
            excluded.generation > known.generation OR excluded.revision >= known.revision
        WHEN known.state = 'missing' THEN excluded.revision >= known.revision
        ELSE excluded.revision > known.revision OR (
            excluded.revision = known.revision
            AND ({_drains("excluded.element_id")}, excluded.element_id)
                < ({_drains("known.element_id")}, known.element_id)
        )
    END
    -- A row that was there before carries the lock of this statement.
    RETURNING known.xmax = 0 AS fresh
)
SELECT count(*) FROM merged WHERE fresh
"""  # noqa: S608

# Plain bounds: with `OR bound IS NULL` a prepared statement would walk the whole element.
_MARK_MISSING: Final = """
UPDATE catalogue.files SET state = 'missing', generation = %(generation)s
WHERE element_id = %(element_id)s AND state = 'present' AND generation < %(generation)s
  AND file_id > %(after)s AND file_id <= %(last)s
"""


async def merge(connection: Connection, rows: Iterable[FileRow]) -> None:
    """Write rows, unless the catalogue already knows better. In the caller's transaction."""
    latest: dict[UUID, FileRow] = {}
    for row in rows:
        known = latest.get(row.file_id)
        if known is None or row.revision >= known.revision:
            latest[row.file_id] = row
    if not latest:
        return
    await connection.execute(_STAGING)
    # Empty unless there was a merge before in this transaction.
    await connection.execute("DELETE FROM incoming_files")
    await binary_copy.copy_in(connection, _STAGE, map(copied, latest.values()))
    merged = await connection.execute(_MERGE)
    fresh = await merged.fetchone()
    if fresh is None or fresh[0] < len(latest):
        # Files that only one element ever showed need no more than this comparison.
        await copies.note_incoming(connection)
    await copies.want_second(connection, latest.values())


async def add(connection: Connection, rows: Iterable[bytes], files: Iterable[copies.Filed]) -> None:
    """Files that nobody knows yet, for half of what `merge` costs. In the caller's transaction.

    Args:
        rows: Of `files`, as `copied` makes them. By their ids, for the reason of `_MERGE`.

    Raises:
        psycopg.errors.UniqueViolation: One is known; `merge` them.
    """
    await binary_copy.copy_in(connection, _ADD, rows)
    await copies.want_second(connection, files)


def copied(row: FileRow) -> bytes:
    """As `COPY` takes it."""
    return binary_copy.row(
        binary_copy.identifier(row.file_id),
        binary_copy.name(row.element_id),
        binary_copy.whole4(row.revision),
        binary_copy.name(row.state),
        binary_copy.name(row.collection),
        binary_copy.text(row.original_filename),
        binary_copy.whole8(row.size_bytes),
        binary_copy.name(row.content_type),
        binary_copy.data(row.sha256),
        binary_copy.moment(row.uploaded_at),
        binary_copy.name(row.uploaded_by),
        binary_copy.texts(row.tags),
        binary_copy.json(row.metadata),
        binary_copy.moment(row.retain_until),
        binary_copy.name(row.scan),
        binary_copy.data(row.record),
        binary_copy.text(row.search_text),
        binary_copy.whole4(row.generation),
    )


async def mark_missing(connection: Connection, stretch: Stretch) -> int:
    """Mark what a listing lacked; returns how many files no element shows any more."""
    cursor = await connection.execute(_MARK_MISSING, stretch._asdict())
    return cursor.rowcount - await copies.note_missing(connection, stretch)


async def connection_of(session: AsyncSession) -> Connection:
    """The driver's connection, to merge within the session's transaction."""
    connection = await (await session.connection()).get_raw_connection()
    driver: Any = connection.driver_connection
    assert isinstance(driver, AsyncConnection)
    return driver
