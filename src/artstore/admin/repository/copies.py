"""Rows of `catalogue.copies` and `catalogue.copies_due`: who else holds a file, what to look at.

Written on the connection of whoever merges, in the same transaction as the table of files.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from psycopg import AsyncConnection

from artstore.admin.repository import jobs

Connection = AsyncConnection[Any]

KEEP_COPIES: Final = "copies.keep"
"""Kind of the job that works off `copies_due`. There is one, so its key is empty."""


class Stretch(NamedTuple):
    """Ids of one element that a listing has covered: behind `after`, up to `last`."""

    element_id: str
    generation: int
    after: UUID
    last: UUID


class Filed(Protocol):
    """A row of the table of files, as far as it matters here."""

    @property
    def file_id(self) -> UUID | str: ...

    @property
    def collection(self) -> str: ...


# Scalar subqueries, and LATERAL with LIMIT: the staging table has no statistics, and a join
# could be planned as a walk through all files.
_KNOWN_HOLDER: Final = """
INSERT INTO catalogue.copies (file_id, element_id, revision, state, generation)
SELECT f.file_id, f.element_id, f.revision, f.state, f.generation
FROM incoming_files i CROSS JOIN LATERAL (
    SELECT * FROM catalogue.files f
    WHERE f.file_id = i.file_id AND f.element_id <> i.element_id LIMIT 1
) f
ORDER BY f.file_id
ON CONFLICT (file_id, element_id) DO NOTHING
"""
# What the element found damaged stays so until it says that it is mended.
_INCOMING: Final = """
INSERT INTO catalogue.copies AS known (file_id, element_id, revision, state, generation)
SELECT file_id, element_id, revision, state, generation FROM incoming_files i
WHERE (SELECT true FROM catalogue.copies c WHERE c.file_id = i.file_id LIMIT 1)
ORDER BY file_id
ON CONFLICT (file_id, element_id) DO UPDATE
SET revision = excluded.revision, seen_at = now(),
    state = CASE WHEN known.state = 'damaged' AND excluded.state = 'present'
        THEN known.state ELSE excluded.state END,
    generation = greatest(known.generation, excluded.generation)
WHERE excluded.generation > known.generation OR excluded.revision >= known.revision
RETURNING file_id
"""
_TWO_COPIES: Final = "SELECT collection FROM policy.collections WHERE copies > 1"
# An update also where nothing changes: whoever is done with the row at this moment must find
# that it was asked for again.
_DUE: Final = """
INSERT INTO catalogue.copies_due AS due (file_id)
SELECT DISTINCT unnest(%s::uuid[]) ORDER BY 1
ON CONFLICT (file_id) DO UPDATE
SET asked_at = clock_timestamp(), not_before = now(), attempts = 0
"""
_MISSING: Final = """
UPDATE catalogue.copies SET state = 'missing', generation = %(generation)s, seen_at = now()
WHERE element_id = %(element_id)s AND state IN ('present', 'damaged')
  AND generation < %(generation)s AND file_id > %(after)s AND file_id <= %(last)s
RETURNING file_id
"""
_BETTER: Final = """
SELECT DISTINCT ON (c.file_id) c.file_id, c.element_id, c.generation
FROM catalogue.files f JOIN catalogue.copies c ON c.file_id = f.file_id
JOIN catalogue.elements e ON e.element_id = c.element_id
WHERE f.file_id = ANY(%(ids)s) AND f.element_id = %(element_id)s AND f.state = %(state)s
  AND c.element_id <> f.element_id AND c.state = 'present' AND c.revision >= f.revision
  AND (f.state = 'missing' OR e.drain = 'off')
ORDER BY c.file_id, e.drain <> 'off', c.element_id
"""
_PASS_ON: Final = f"""
WITH better AS ({_BETTER})
UPDATE catalogue.files f
SET element_id = better.element_id, generation = better.generation, state = 'present'
FROM better WHERE f.file_id = better.file_id
"""  # noqa: S608
_DAMAGED: Final = """
INSERT INTO catalogue.copies AS known (file_id, element_id, revision, state, generation)
SELECT file_id, %(element_id)s, revision, 'damaged', generation FROM catalogue.files
WHERE file_id = ANY(%(ids)s) ORDER BY file_id
ON CONFLICT (file_id, element_id) DO UPDATE SET state = 'damaged', seen_at = now()
WHERE known.state <> 'deleted'
"""
_MENDED: Final = """
UPDATE catalogue.copies SET state = 'present', seen_at = now()
WHERE element_id = %(element_id)s AND file_id = ANY(%(ids)s) AND state IN ('damaged', 'missing')
"""


async def note_incoming(connection: Connection) -> None:
    """After a merge: who else holds the files in the staging table, or did until now."""
    await connection.execute(_KNOWN_HOLDER)
    cursor = await connection.execute(_INCOMING)
    await ask_for(connection, [row[0] for row in await cursor.fetchall()])


async def want_second(connection: Connection, rows: Iterable[Filed]) -> None:
    """Files of collections that ask for two copies are looked at."""
    cursor = await connection.execute(_TWO_COPIES)
    wanting = {name for (name,) in await cursor.fetchall()}
    if wanting:
        await ask_for(connection, [row.file_id for row in rows if row.collection in wanting])


async def ask_for(connection: Connection, file_ids: Sequence[UUID | str]) -> None:
    """The copies of these files are looked at as soon as this transaction commits."""
    if file_ids:
        await connection.execute(_DUE, (list(file_ids),))
        await jobs.wake_from(connection, KEEP_COPIES, "")


async def note_missing(connection: Connection, stretch: Stretch) -> int:
    """A listing lacked these. Another element that has the file takes the place; how many did."""
    cursor = await connection.execute(_MISSING, stretch._asdict())
    ids = [row[0] for row in await cursor.fetchall()]
    if not ids:
        return 0
    await ask_for(connection, ids)
    return await pass_on(connection, stretch.element_id, ids, state="missing")


async def pass_on(
    connection: Connection, element_id: str, ids: Sequence[UUID], *, state: str
) -> int:
    """Files that stand under this element in `state` are served from another that has them."""
    values = {"element_id": element_id, "ids": list(ids), "state": state}
    return (await connection.execute(_PASS_ON, values)).rowcount


async def note_findings(
    connection: Connection, element_id: str, damaged: Sequence[UUID], mended: Sequence[UUID]
) -> None:
    """What an element found about files that it holds, oldest first."""
    if damaged:
        values = {"element_id": element_id, "ids": list(damaged)}
        await connection.execute(_DAMAGED, values)
    if mended:
        await connection.execute(_MENDED, {"element_id": element_id, "ids": list(mended)})
    await ask_for(connection, [*damaged, *mended])
