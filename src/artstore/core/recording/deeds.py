"""Who did what: the words in which a module says it, and the event made of them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

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
    collection: str | None = None
    element_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    personal: Mapping[PersonalField, str | None] = field(default_factory=dict)


class EventMaker:
    """One per process."""

    def __init__(self, clock: Clock, service: str | None = None) -> None:
        """`service`: `<module>/<instance>`; where it is given, it is part of every event."""
        self._clock = clock
        self.service = service
        self._services = (service,) if service else ()
        self._ids = FileIdSource()

    def now(self) -> datetime:
        return self._clock.now()

    def actor_of(self, who: Who) -> Actor:
        """With this service as the last that carried the request."""
        known = who.services[-1:] == self._services
        services = who.services if known else (*who.services, *self._services)
        return who.actor.model_copy(update={"services": services})

    def event_of(self, who: Who, deed: Deed) -> tuple[AuditEvent, Disclosures]:
        """The event, and what opens its commitments."""
        now = self._clock.now()
        personal, facts = commit_to({**who.facts, **deed.personal}, os.urandom)
        event = AuditEvent(
            event_id=self._ids.new(now, os.urandom(10)),
            kind=deed.kind,
            outcome=deed.outcome,
            at=now,
            actor=self.actor_of(who),
            file_id=deed.file_id,
            collection=deed.collection,
            element_id=deed.element_id,
            target=deed.target,
            problem=deed.problem,
            correlation_id=current_trace_id(),
            details=dict(deed.details),
            personal=personal,
        )
        return event, facts


def ids_of(subject: str | None) -> tuple[str | None, str | None]:
    """The person and the account that a token's subject names; what is neither counts as an
    account."""
    kind, _, identifier = (subject or "").partition(":")
    if kind == "user":
        return identifier, None
    return None, identifier if kind == "account" else subject
