"""Every attempt to get in is an event, written before its answer is given."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from artstore.admin.services.audit.together import Together
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, TooManyRequests, Unavailable
from artstore.core.model.audit import AuditKind, Outcome

THROTTLED_TOLD = 1
"""In a minute, of one address: whoever guesses is slowed down, and must not fill the log."""


@dataclass
class Attempted:
    """What becomes known while the attempt is looked at."""

    subject: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Attempts:
    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail
        self._together = Together(database, trail)

    @contextlib.asynccontextmanager
    async def watched(
        self, kind: AuditKind, who: Who, attempted: Attempted | None = None
    ) -> AsyncIterator[Attempted]:
        """Around the whole attempt. `who.name` is what was typed.

        Raises:
            Unavailable: The attempt cannot be written down; then nobody gets in, and no
                refusal is told either.
        """
        attempted = attempted or Attempted()
        async with self.refusals(kind, who, attempted):
            yield attempted
        deed = Deed(kind, details=attempted.details)
        await self._record(replace(who, subject=attempted.subject), deed)

    @contextlib.asynccontextmanager
    async def refusals(
        self, kind: AuditKind, who: Who, attempted: Attempted | None = None
    ) -> AsyncIterator[None]:
        """Writes down a refusal only: a success writes its own event, in its own transaction."""
        try:
            yield
        except Unavailable:
            raise
        except ArtStoreError as refusal:
            attempted = attempted or Attempted(who.subject)
            who = replace(who, subject=attempted.subject)
            await self._refused(kind, who, refusal, attempted.details)
            raise

    async def _refused(
        self, kind: AuditKind, who: Who, refusal: ArtStoreError, details: dict[str, Any]
    ) -> None:
        deed = Deed(kind, Outcome.REFUSED, problem=refusal.code, details=details)
        if not isinstance(refusal, TooManyRequests):
            await self._record(who, deed)
            return
        async with self._database.session() as session:
            # By address and not by name: whoever guesses tries many names.
            unnamed = replace(who, subject=None, name=None)
            await self._trail.record_refusal(session, unnamed, deed, THROTTLED_TOLD)

    async def _record(self, who: Who, deed: Deed) -> None:
        await self._together.record(who, deed)
