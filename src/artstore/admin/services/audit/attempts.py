"""Every attempt to get in is an event, written before its answer is given."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from artstore.admin.services.audit.together import Together
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, TooManyRequests, Unavailable
from artstore.core.model.audit import AuditKind, Outcome
from artstore.core.recording.tally import WINDOW_S, Tally

THROTTLED_TOLD = 1
"""In a minute, of one address: whoever guesses is slowed down, and must not fill the log."""


@dataclass
class Attempted:
    """What becomes known while the attempt is looked at."""

    subject: str | None = None


class Attempts:
    def __init__(self, database: Database, trail: Trail) -> None:
        self._together = Together(database, trail)
        self._throttled: Tally[tuple[Who, Deed]] = Tally()

    @contextlib.asynccontextmanager
    async def watched(self, kind: AuditKind, who: Who) -> AsyncIterator[Attempted]:
        """Around the whole attempt. `who.name` is what was typed.

        Raises:
            Unavailable: The attempt cannot be written down; then nobody gets in, and no
                refusal is told either.
        """
        attempted = Attempted()
        async with self.refusals(kind, who, attempted):
            yield attempted
        await self._record(replace(who, subject=attempted.subject), Deed(kind))

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
            if attempted is not None:
                who = replace(who, subject=attempted.subject)
            await self._refused(kind, who, refusal)
            raise

    async def _refused(self, kind: AuditKind, who: Who, refusal: ArtStoreError) -> None:
        deed = Deed(kind, Outcome.REFUSED, problem=refusal.code)
        if isinstance(refusal, TooManyRequests) and not self._throttled.is_told(
            who.place, (who, deed), THROTTLED_TOLD
        ):
            return
        await self._record(who, deed)

    async def _record(self, who: Who, deed: Deed) -> None:
        await self._together.record(who, deed)
        for counted in self._throttled.ended():
            who, deed = counted.sample
            if counted.mixed:
                who = Who(services=who.services)
            details = {"further_attempts": counted.untold, "within_s": int(WINDOW_S)}
            await self._together.record(who, replace(deed, details=details))
