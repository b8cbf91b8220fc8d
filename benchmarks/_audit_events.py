"""Audit events to measure with. Personal facts are made again from the id, so that a million of
them need not be kept."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from artstore.core.model.audit import (
    Actor,
    AuditEvent,
    AuditKind,
    Disclosures,
    Outcome,
    PersonalField,
    commit_to,
)
from artstore.core.model.ids import FileIdSource

ORIGIN = "benchmark.example/audit"
FACTS = {PersonalField.ACTOR_NAME: "archive-bot", PersonalField.CLIENT_ADDRESS: "192.0.2.7"}


def entries(count: int) -> Iterator[bytes]:
    ids, start = FileIdSource(), datetime.now(UTC)
    for number in range(count):
        at = start + timedelta(microseconds=number * 300)
        event_id = ids.new(at, os.urandom(10))
        yield AuditEvent(
            event_id=event_id,
            kind=AuditKind.FILE_UPLOADED,
            outcome=Outcome.SUCCEEDED,
            at=at,
            actor=Actor(account="acc-1", token_id="t" * 22, services=("edge/edge-1",)),
            file_id=ids.new(at, os.urandom(10)),
            collection="contracts",
            correlation_id=os.urandom(16).hex(),
            details={"sha256": os.urandom(32).hex(), "size": number},
            personal=facts(event_id)[0],
        ).to_entry()


def facts(event_id: str) -> tuple[dict[PersonalField, str], Disclosures]:
    """The commitments in the event, and what opens them."""
    return commit_to(FACTS, lambda _: sha256(event_id.encode()).digest())
