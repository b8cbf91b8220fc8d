"""Writes down what this module does and who made it do so."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import audit_events
from artstore.admin.repository.audit_events import EventRow
from artstore.core.clock import Clock
from artstore.core.model.account import Caller
from artstore.core.model.audit import (
    Actor,
    AuditEvent,
    AuditKind,
    Disclosures,
    Outcome,
    PersonalField,
    Target,
    commit_to,
)
from artstore.core.model.ids import FileId, FileIdSource
from artstore.core.tracing import current_trace_id


@dataclass(frozen=True)
class Who:
    """Whoever makes something happen, as far as it is known."""

    subject: str | None = None
    """`user:<id>` or `account:<id>`, as tokens say it."""
    name: str | None = None
    """Known, or only typed."""
    token_id: str | None = None
    address: str | None = None
    services: tuple[str, ...] = ()

    def proven(self, caller: Caller) -> "Who":
        """The same request, with a token."""
        return replace(self, subject=caller.subject, name=caller.name, token_id=caller.token_id)

    def named(self, name: str) -> "Who":
        """As whom they try to come in."""
        return replace(self, name=name)

    @property
    def place(self) -> str:
        return self.address or "unknown"

    @property
    def actor(self) -> Actor:
        person, account = ids_of(self.subject)
        return Actor(person=person, account=account, token_id=self.token_id, services=self.services)

    @property
    def facts(self) -> dict[PersonalField, str | None]:
        return {PersonalField.ACTOR_NAME: self.name, PersonalField.CLIENT_ADDRESS: self.address}


@dataclass(frozen=True)
class Deed:
    """What happened."""

    kind: AuditKind
    outcome: Outcome = Outcome.SUCCEEDED
    problem: str | None = None
    target: Target | None = None
    file_id: FileId | None = None
    element_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    personal: Mapping[PersonalField, str | None] = field(default_factory=dict)


class Trail:
    """One per process."""

    def __init__(self, clock: Clock, instance: str | None = None) -> None:
        """`instance`: of this service; where it is given, it is part of every event."""
        self._clock = clock
        self._services = (f"admin/{instance}",) if instance else ()
        self._ids = FileIdSource()

    def now(self) -> datetime:
        return self._clock.now()

    async def record(self, session: AsyncSession, who: Who, deed: Deed) -> None:
        """In the transaction of the change: both are kept, or neither.

        Raises:
            Unavailable: By way of the session, when the database is away. Then the change does
                not happen either.
        """
        await audit_events.add(session, row_of(*self.event_of(who, deed)))

    def actor_of(self, who: Who) -> Actor:
        """With this service as the last that carried the request."""
        return who.actor.model_copy(update={"services": (*who.services, *self._services)})

    def event_of(self, who: Who, deed: Deed) -> tuple[AuditEvent, Disclosures]:
        now = self._clock.now()
        personal, facts = commit_to({**who.facts, **deed.personal}, os.urandom)
        event = AuditEvent(
            event_id=self._ids.new(now, os.urandom(10)),
            kind=deed.kind,
            outcome=deed.outcome,
            at=now,
            actor=self.actor_of(who),
            file_id=deed.file_id,
            element_id=deed.element_id,
            target=deed.target,
            problem=deed.problem,
            correlation_id=current_trace_id(),
            details=dict(deed.details),
            personal=personal,
        )
        return event, facts


class BoundTrail:
    """For one request: who asks is known, and so is the transaction."""

    def __init__(self, trail: Trail, session: AsyncSession, who: Who) -> None:
        self._trail = trail
        self._session = session
        self._who = who

    async def record(self, deed: Deed) -> None:
        """See `Trail.record`."""
        await self._trail.record(self._session, self._who, deed)


def ids_of(subject: str | None) -> tuple[str | None, str | None]:
    """The person and the account that a token's subject names; what is neither counts as an
    account."""
    kind, _, identifier = (subject or "").partition(":")
    if kind == "user":
        return identifier, None
    return None, identifier if kind == "account" else subject


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
        facts=facts_json(facts),
    )


def facts_json(facts: Disclosures) -> bytes:
    return orjson.dumps({name.value: fact.model_dump() for name, fact in facts.items()})


def plain_text(value: str | None) -> str | None:
    """NUL, which PostgreSQL cannot hold, stands as U+FFFD; the entry is exact."""
    return value.replace("\0", "\ufffd") if value else value
