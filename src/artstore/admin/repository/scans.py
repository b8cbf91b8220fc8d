"""Files to be scanned again for viruses, in the table of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.core.model.admission import OnUnscanned

FIRST: Final = UUID(int=0)

_FILES: Final = """
SELECT f.file_id, f.element_id, e.url, p.admission ->> 'unscanned' AS unscanned
FROM catalogue.files f JOIN catalogue.elements e USING (element_id)
LEFT JOIN policy.collections p USING (collection)
WHERE f.state = 'present' AND {wanted} AND f.file_id > :after
ORDER BY f.file_id LIMIT :limit
"""
_PENDING: Final = _FILES.format(wanted="f.scan = 'pending'")
_SCANNED: Final = _FILES.format(wanted="f.scan IS NOT NULL")


@dataclass(frozen=True, slots=True)
class StoredFile:
    file_id: UUID
    element_id: str
    url: str
    unscanned: OnUnscanned | None
    """What its collection does with files that cannot be scanned."""


async def pending(session: AsyncSession, after: UUID, limit: int) -> Sequence[StoredFile]:
    """Files that could not be scanned for a reason that may have passed."""
    return await _read(session, _PENDING, after, limit)


async def scanned(session: AsyncSession, after: UUID, limit: int) -> Sequence[StoredFile]:
    """Files that were to be scanned when they came, whatever the verdict was."""
    return await _read(session, _SCANNED, after, limit)


async def _read(
    session: AsyncSession, statement: str, after: UUID, limit: int
) -> Sequence[StoredFile]:
    rows = await session.execute(text(statement), {"after": after, "limit": limit})
    return [
        StoredFile(
            row.file_id,
            row.element_id,
            row.url,
            OnUnscanned(row.unscanned) if row.unscanned else None,
        )
        for row in rows
    ]
