"""Events of files and elements, as an element's feed tells them.

Uploads come by thousands a second, so they are put together by hand and not by way of the model:
three times as fast. A test holds the two equal.
"""

import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson

from artstore.admin.repository.audit_events import EventRow
from artstore.admin.repository.audit_feeds import Intent
from artstore.admin.services.audit.trail import plain_text
from artstore.admin.services.catalogue.uploads import Upload
from artstore.core.canonical_json import spell
from artstore.core.model.audit import (
    AUDIT_SCHEMA_VERSION,
    ID_CHARS_MAX,
    PERSONAL_CHARS_MAX,
    SALT_BYTES,
    SERVICE_NAME,
    AuditKind,
    Outcome,
    commitment,
    moment_text,
)
from artstore.core.model.event import Change, ChangeType, Note, NoteType
from artstore.core.model.ids import is_file_id
from artstore.core.recording.deeds import ids_of

_KINDS_OF_CHANGES: Final = {
    ChangeType.CREATED: AuditKind.FILE_UPLOADED,
    ChangeType.UPDATED: AuditKind.FILE_CHANGED,
    ChangeType.DELETED: AuditKind.FILE_DELETED,
}
_KINDS_OF_FINDINGS: Final = {
    "repaired": AuditKind.FILE_REPAIRED,
    "quarantined_cleared": AuditKind.FILE_QUARANTINE_CLEARED,
}
"""All others are damage."""


def kind_of(line: Change | Note) -> AuditKind:
    """As far as the element knows. Whoever asked for a change may know more."""
    if isinstance(line, Change):
        return _KINDS_OF_CHANGES[line.type]
    if line.type is NoteType.MODE_CHANGED:
        return AuditKind.ELEMENT_MODE_CHANGED
    return _KINDS_OF_FINDINGS.get(str(line.detail.get("finding")), AuditKind.FILE_DAMAGE_FOUND)


_NOBODY: Final[dict[str, Any]] = {
    "person": None,
    "account": None,
    "token_id": None,
    "services": [],
}
TEXT_CHARS_MAX: Final = 2000
_SERVICE_NAME: Final = re.compile(SERVICE_NAME)


class FileEvents:
    """Of one element's history."""

    def __init__(
        self, element_id: str, feed_id: str, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._element_id = element_id
        self._feed_id = feed_id
        self._random_bytes = random_bytes

    def row_of(self, change: Change, record: bytes, intent: Intent | None) -> EventRow:
        """
        Args:
            record: The attr.json after the change.
            intent: Who asked for it, where that is not in the record.
        """
        actor, known = _actor(change, intent)
        return self._row(
            change,
            kind=intent.kind if intent else kind_of(change),
            actor=actor,
            file_id=change.record.file_id,
            collection=change.record.collection,
            details=self._details(change, record),
            known=known | _facts_in(change),
        )

    def row_of_note(self, note: Note, intent: Intent | None) -> EventRow:
        actor, known = _asker(intent) if intent else (_NOBODY, {})
        shown: tuple[str, ...] = ("finding", "path", "cause")
        if note.type is NoteType.MODE_CHANGED:
            shown = ("from", "to")
            known = {"actor_name": _text(note.detail.get("by"))} | known
            known["reason"] = _text(note.detail.get("reason"))
        file_id = _text(note.detail.get("file_id"))
        details = {name: text for name in shown if (text := _text(note.detail.get(name)))}
        return self._row(
            note,
            kind=intent.kind if intent else kind_of(note),
            actor=actor,
            file_id=file_id if file_id and is_file_id(file_id) else None,
            collection=None,
            details={"feed_id": self._feed_id, "seq": note.seq} | details,
            known=known,
        )

    def _row(
        self,
        line: Change | Note,
        *,
        kind: str,
        actor: dict[str, Any],
        file_id: str | None,
        collection: str | None,
        details: dict[str, Any],
        known: dict[str, str | None],
    ) -> EventRow:
        personal, facts = self._commit(known)
        event_id = event_id_of(self._feed_id, line)
        entry = {
            "schema_version": AUDIT_SCHEMA_VERSION,
            "event_id": str(event_id),
            "kind": kind,
            "outcome": Outcome.SUCCEEDED,
            "at": moment_text(line.at.astimezone(UTC)),
            "actor": actor,
            "file_id": file_id,
            "collection": collection,
            "element_id": self._element_id,
            "target": None,
            "problem": None,
            "correlation_id": line.trace_id,
            "details": details,
            "personal": personal,
        }
        return EventRow(
            event_id=event_id,
            at=line.at,
            kind=kind,
            outcome=Outcome.SUCCEEDED,
            person=plain_text(actor["person"]),
            account=plain_text(actor["account"]),
            file_id=UUID(file_id) if file_id else None,
            collection=collection,
            element_id=self._element_id,
            entry=spell(entry),
            facts=orjson.dumps(facts),
        )

    def _details(self, change: Change, record: bytes) -> dict[str, Any]:
        return {
            "content_type": change.record.content_type,
            "feed_id": self._feed_id,
            "record_sha256": sha256(record).hexdigest(),
            "revision": change.record.revision,
            "seq": change.seq,
            "sha256": change.record.sha256,
            "size": change.record.size,
        }

    def _commit(
        self, known: dict[str, str | None]
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        personal, facts = {}, {}
        for field, value in known.items():
            if value is not None:
                salt = self._random_bytes(SALT_BYTES).hex()
                shown = value[:PERSONAL_CHARS_MAX]
                personal[field] = commitment(field, salt, shown)
                facts[field] = {"salt": salt, "value": shown}
        return personal, facts


def event_id_of(feed_id: str, line: Change | Note) -> UUID:
    return UUID(int=event_number_of(feed_id, line))


def event_number_of(feed_id: str, line: Upload | Change | Note) -> int:
    """A UUIDv7 that follows from the line alone: told again, it is the same event."""
    unix_ms = int(line.at.timestamp() * 1000)
    chance = int.from_bytes(sha256(f"{feed_id} {line.seq}".encode()).digest()[:10])
    head = unix_ms << 80 | 7 << 76 | (chance >> 62 & 0xFFF) << 64
    return head | 0b10 << 62 | chance & (1 << 62) - 1


def _actor(change: Change, intent: Intent | None) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Who did it, and what is known of them that is personal."""
    if intent is not None:
        return _asker(intent)
    person = account = None
    known: dict[str, str | None] = {}
    came: dict[str, Any] = {}
    match change.type:
        case ChangeType.CREATED:
            person, account = map(_identifier, ids_of(change.record.uploaded_by.subject))
            known["actor_name"] = change.record.uploaded_by.name
            if change.origin is not None:
                came = {
                    "token_id": _identifier(change.origin.token_id),
                    "services": _services(change.origin.services),
                }
                known["client_address"] = change.origin.address
        case ChangeType.DELETED if change.record.deleted is not None:
            known["actor_name"] = change.record.deleted.by
    return {**_NOBODY, "person": person, "account": account, **came}, known


def _asker(intent: Intent) -> tuple[dict[str, Any], dict[str, str | None]]:
    return orjson.loads(intent.actor), orjson.loads(intent.facts)


def _services(told: Sequence[str]) -> list[str]:
    """Those that can be the name of one: no entry may come to be that nobody can read."""
    return [each for each in told if _SERVICE_NAME.fullmatch(each)]


def _identifier(told: str | None) -> str | None:
    """Cut, and not refused: what an element tells has happened, and must not stop the log."""
    return told[:ID_CHARS_MAX] if told else told


def _text(value: object) -> str | None:
    """Bounded, since an element of another version may say anything."""
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else None


def _facts_in(change: Change) -> dict[str, str | None]:
    facts: dict[str, str | None] = {"filename": change.record.original_filename}
    if change.type is ChangeType.DELETED and change.record.deleted is not None:
        facts["reason"] = change.record.deleted.reason
    return facts
