"""Writes down what this module does and who made it do so."""

from dataclasses import replace
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import audit_events
from artstore.admin.repository.audit_events import EventRow
from artstore.core.clock import Clock
from artstore.core.errors import Unavailable
from artstore.core.model.audit import AuditEvent, Disclosures, disclosures_json
from artstore.core.recording.deeds import Deed, EventMaker, Who
from artstore.core.recording.tally import WINDOW_S, Tally

__all__ = ["BoundTrail", "Deed", "Trail", "Who", "plain_text", "row_of"]

REFUSALS_TOLD: Final = 20
"""Each minute, of one person or account and for one reason."""


class Trail(EventMaker):
    """One per process."""

    def __init__(self, clock: Clock, instance: str | None = None) -> None:
        """`instance`: of this service; where it is given, it is part of every event."""
        super().__init__(clock, f"admin/{instance}" if instance else None)
        self._refusals: Tally[tuple[Who, Deed]] = Tally()
        self.is_full = False
        """Nothing more may be written down, so nothing more may happen (`AuditBacklog`)."""

    async def record(self, session: AsyncSession, who: Who, deed: Deed) -> None:
        """In the transaction of the change: both are kept, or neither.

        Raises:
            Unavailable: The log is too far behind; or by way of the session, the database is
                away. Then the change does not happen either.
        """
        self.check()
        await audit_events.add(session, row_of(*self.event_of(who, deed)))

    async def record_refusal(
        self, session: AsyncSession, who: Who, deed: Deed, each_minute: int = REFUSALS_TOLD
    ) -> None:
        """As `record`; of a flood from one source the first few are told, then their number."""
        source = (who.subject or who.place, deed.kind, deed.problem)
        if self._refusals.is_told(source, (who, deed), each_minute):
            await self.record(session, who, deed)

    async def tell_counted(self, session: AsyncSession) -> None:
        """The numbers of those that were not told one by one."""
        for counted in self._refusals.ended():
            who, deed = counted.sample
            if counted.mixed:
                who = Who(services=who.services)
            details = {"further_refusals": counted.untold, "within_s": int(WINDOW_S)}
            numbered = replace(deed, file_id=None, element_id=None, details=details)
            await self.record(session, who, numbered)

    def check(self) -> None:
        """Raises `Unavailable` when nothing can be written down for now."""
        if self.is_full:
            raise Unavailable("the audit log is too far behind; nothing is changed until it is not")


class BoundTrail:
    """For one request: who asks is known, and so is the transaction."""

    def __init__(self, trail: Trail, session: AsyncSession, who: Who) -> None:
        self._trail = trail
        self._session = session
        self._who = who

    @property
    def subject(self) -> str:
        return self._who.subject or "unknown"

    async def record(self, deed: Deed) -> None:
        """See `Trail.record`."""
        await self._trail.record(self._session, self._who, deed)


def row_of(event: AuditEvent, facts: Disclosures) -> EventRow:
    return EventRow(
        event_id=UUID(event.event_id),
        at=event.at,
        kind=event.kind,
        outcome=event.outcome,
        person=plain_text(event.actor.person),
        account=plain_text(event.actor.account),
        file_id=UUID(event.file_id) if event.file_id else None,
        collection=event.collection,
        element_id=event.element_id,
        entry=event.to_entry(),
        facts=disclosures_json(facts),
    )


def plain_text(value: str | None) -> str | None:
    """NUL, which PostgreSQL cannot hold, stands as U+FFFD; the entry is exact."""
    return value.replace("\0", "\ufffd") if value else value
