"""Who holds which file, for whoever keeps copies: what is there, what was done, what is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class DueFile:
    file_id: UUID
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Made:
    """An element has the file now, at this revision."""

    file_id: UUID
    element_id: str
    revision: int


_HELD: Final = """
SELECT f.file_id, f.size_bytes, coalesce(p.copies, 1) AS wanted, f.element_id, f.revision, f.state
FROM catalogue.files f LEFT JOIN policy.collections p ON p.collection = f.collection
WHERE f.file_id = ANY(%(ids)s)
"""
_COPIES: Final = """
SELECT file_id, element_id, revision, state FROM catalogue.copies WHERE file_id = ANY(%(ids)s)
"""
_DUE: Final = """
SELECT file_id, asked_at FROM catalogue.copies_due
WHERE not_before <= now() ORDER BY not_before LIMIT %(limit)s
"""
_NEXT_DUE_S: Final = """
SELECT extract(epoch FROM min(not_before) - now())::float8 FROM catalogue.copies_due
"""
# Only if nobody asked again since it was looked at.
_SETTLED: Final = """
DELETE FROM catalogue.copies_due WHERE (file_id, asked_at) IN (
    SELECT d.file_id, d.asked_at FROM catalogue.copies_due d
    JOIN unnest(%(ids)s::uuid[], %(asked)s::timestamptz[]) AS seen (file_id, asked_at)
        ON d.file_id = seen.file_id AND d.asked_at = seen.asked_at
    ORDER BY d.file_id FOR UPDATE OF d
)
"""
# Doubling from 5 s to a quarter of an hour: an element that was away is used again by then.
_TROUBLED: Final = """
INSERT INTO catalogue.copies_due AS due (file_id, attempts, not_before, trouble)
SELECT *, 1, now() + interval '5 seconds', %(trouble)s FROM (
    SELECT unnest(%(ids)s::uuid[]) ORDER BY 1
) troubled
ON CONFLICT (file_id) DO UPDATE
SET attempts = due.attempts + 1, trouble = excluded.trouble,
    not_before = now() + least(900, 5 * 2 ^ least(due.attempts, 10)) * interval '1 second'
"""
_FIRST_HOLDER: Final = """
INSERT INTO catalogue.copies (file_id, element_id, revision, state, generation)
SELECT file_id, element_id, revision, state, generation FROM catalogue.files
WHERE file_id = ANY(%(ids)s) ORDER BY file_id
ON CONFLICT (file_id, element_id) DO NOTHING
"""
_MADE: Final = """
INSERT INTO catalogue.copies AS known (file_id, element_id, revision, state, generation)
SELECT made.file_id, made.element_id, made.revision,
       CASE f.state WHEN 'deleted' THEN 'deleted' ELSE 'present' END, e.generation
FROM unnest(%(ids)s::uuid[], %(elements)s::text[], %(revisions)s::int[])
    AS made (file_id, element_id, revision)
JOIN catalogue.files f ON f.file_id = made.file_id
JOIN catalogue.elements e ON e.element_id = made.element_id
ORDER BY made.file_id
ON CONFLICT (file_id, element_id) DO UPDATE
SET revision = excluded.revision, state = excluded.state, seen_at = now()
WHERE excluded.revision >= known.revision
"""
_OF_COLLECTION: Final = """
SELECT file_id FROM catalogue.files WHERE collection = %(collection)s AND file_id > %(after)s
ORDER BY file_id LIMIT %(limit)s
"""
_COUNT_COLLECTION: Final = (
    "SELECT count(*) AS number FROM catalogue.files WHERE collection = %(collection)s"
)
_OF_ELEMENT: Final = """
SELECT file_id FROM catalogue.files
WHERE element_id = %(element_id)s AND state = 'present' AND file_id > %(after)s
ORDER BY file_id LIMIT %(limit)s
"""
_COPIES_ON_ELEMENT: Final = """
SELECT file_id FROM catalogue.copies
WHERE element_id = %(element_id)s AND state = 'present' AND file_id > %(after)s
ORDER BY file_id LIMIT %(limit)s
"""
# Files that would be away with the element: it is their first, or no other has them whole.
_DEPENDING: Final = """
SELECT (
    SELECT count(*) FROM catalogue.files WHERE element_id = %(element_id)s AND state = 'present'
) + (
    SELECT count(*) FROM catalogue.copies c JOIN catalogue.files f USING (file_id)
    WHERE c.element_id = %(element_id)s AND c.state = 'present'
      AND f.element_id <> c.element_id AND f.state <> 'deleted'
      AND NOT EXISTS (
        SELECT FROM catalogue.copies o JOIN catalogue.elements e USING (element_id)
        WHERE o.file_id = c.file_id AND o.element_id <> c.element_id
          AND o.state = 'present' AND e.drain = 'off'
      )
) AS number
"""
_COUNTS: Final = """
SELECT state, count(*) AS number FROM catalogue.copies GROUP BY state
"""
_COUNT_DUE: Final = "SELECT count(*) AS number FROM catalogue.copies_due"
_TROUBLES: Final = """
SELECT trouble, count(*) AS number FROM catalogue.copies_due WHERE trouble IS NOT NULL
GROUP BY trouble ORDER BY number DESC, trouble LIMIT 3
"""
_BAD_BY_ELEMENT: Final = """
SELECT element_id, state, count(*) AS number FROM catalogue.copies
WHERE state IN ('damaged', 'missing') GROUP BY element_id, state
"""


async def held_files(session: AsyncSession, ids: Sequence[UUID]) -> list[Row[Any]]:
    """By file: `size_bytes`, `wanted`, and its first holder."""
    return await _rows(session, _HELD, ids=list(ids))


async def copies_of(session: AsyncSession, ids: Sequence[UUID]) -> list[Row[Any]]:
    return await _rows(session, _COPIES, ids=list(ids))


async def due(session: AsyncSession, limit: int) -> list[DueFile]:
    return [DueFile(row.file_id, row.asked_at) for row in await _rows(session, _DUE, limit=limit)]


async def next_due_s(session: AsyncSession) -> float | None:
    """Seconds until a file has to be looked at; `None`: there is none."""
    row = (await _rows(session, _NEXT_DUE_S))[0]
    return None if row[0] is None else float(row[0])


async def settled(session: AsyncSession, files: Sequence[DueFile]) -> None:
    if files:
        ids, asked = zip(*((file.file_id, file.asked_at) for file in files), strict=True)
        await _do(session, _SETTLED, ids=list(ids), asked=list(asked))


async def troubled(session: AsyncSession, ids: Sequence[UUID], trouble: str) -> None:
    """Look again later, and later each time."""
    await _do(session, _TROUBLED, ids=list(ids), trouble=trouble)


async def note_made(session: AsyncSession, made: Sequence[Made]) -> None:
    """Do not wait for the feeds."""
    if not made:
        return
    ids = [each.file_id for each in made]
    await _do(session, _FIRST_HOLDER, ids=ids)
    await _do(
        session,
        _MADE,
        ids=ids,
        elements=[each.element_id for each in made],
        revisions=[each.revision for each in made],
    )


async def of_collection(
    session: AsyncSession, collection: str, after: UUID, limit: int
) -> list[UUID]:
    rows = await _rows(session, _OF_COLLECTION, collection=collection, after=after, limit=limit)
    return [row.file_id for row in rows]


async def count_collection(session: AsyncSession, collection: str) -> int:
    return int((await _rows(session, _COUNT_COLLECTION, collection=collection))[0].number)


async def of_element(session: AsyncSession, element_id: str, after: UUID, limit: int) -> list[UUID]:
    """Files that are served from there first."""
    rows = await _rows(session, _OF_ELEMENT, element_id=element_id, after=after, limit=limit)
    return [row.file_id for row in rows]


async def copies_on(session: AsyncSession, element_id: str, after: UUID, limit: int) -> list[UUID]:
    """Files that it has as well as others, or had."""
    rows = await _rows(session, _COPIES_ON_ELEMENT, element_id=element_id, after=after, limit=limit)
    return [row.file_id for row in rows]


async def count_depending(session: AsyncSession, element_id: str) -> int:
    """Files that would be away with this element."""
    return int((await _rows(session, _DEPENDING, element_id=element_id))[0].number)


async def count_by_state(session: AsyncSession) -> dict[str, int]:
    return {row.state: row.number for row in await _rows(session, _COUNTS)}


async def count_due(session: AsyncSession) -> int:
    return int((await _rows(session, _COUNT_DUE))[0].number)


async def troubles(session: AsyncSession) -> dict[str, int]:
    """The commonest reasons why files wait, and how many wait for each."""
    return {row.trouble: row.number for row in await _rows(session, _TROUBLES)}


async def count_bad(session: AsyncSession) -> Mapping[str, Mapping[str, int]]:
    """Damaged and missing copies by element."""
    counts: dict[str, dict[str, int]] = {}
    for row in await _rows(session, _BAD_BY_ELEMENT):
        counts.setdefault(row.element_id, {})[row.state] = row.number
    return counts


async def _rows(session: AsyncSession, statement: str, **values: Any) -> list[Row[Any]]:
    return list(await (await session.connection()).exec_driver_sql(statement, values))


async def _do(session: AsyncSession, statement: str, **values: Any) -> None:
    await (await session.connection()).exec_driver_sql(statement, values)
