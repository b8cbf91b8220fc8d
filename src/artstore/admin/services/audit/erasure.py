"""Erases personal facts for good. The log stays as it is and verifiable: it holds commitments,
and what opened them is gone.
"""

from collections.abc import Collection
from typing import Any

import orjson

from artstore.admin.repository import audit_erasure
from artstore.admin.repository.audit_erasure import Erasing
from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.core.database import Database
from artstore.core.model.audit import AuditKind, PersonalField, Target


class Erasure:
    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail

    async def erase(
        self, erasing: Erasing, fields: Collection[PersonalField], reason: str, ordered_by: Who
    ) -> int:
        """How many events lost facts. That it was done is an event of the same transaction.

        Args:
            fields: Which facts; none means all.
        """
        gone = frozenset(fields or PersonalField)
        async with self._database.session() as session:
            erased = await audit_erasure.erase(
                await connection_of(session), erasing, lambda facts: _rest(facts, gone)
            )
            deed = Deed(
                AuditKind.AUDIT_PERSONAL_ERASED,
                target=_target(erasing),
                details=_details(erasing, gone, erased),
                personal={PersonalField.REASON: reason},
            )
            await self._trail.record(session, ordered_by, deed)
        return erased


def _rest(facts: bytes, gone: Collection[str]) -> bytes | None:
    known: dict[str, Any] = orjson.loads(facts)
    rest = {name: fact for name, fact in known.items() if name not in gone}
    if len(rest) == len(known):
        return facts
    return orjson.dumps(rest) if rest else None


def _target(erasing: Erasing) -> Target | None:
    for kind in ("person", "account"):
        identifier = getattr(erasing, kind)
        if identifier is not None:
            return Target(type=kind, id=identifier)
    return None


def _details(erasing: Erasing, gone: Collection[str], erased: int) -> dict[str, Any]:
    return {
        "events": erased,
        "fields": sorted(gone),
        "file_id": str(erasing.file_id) if erasing.file_id else None,
        "named_events": len(erasing.event_ids or ()),
        "until": erasing.until.isoformat() if erasing.until else None,
    }
