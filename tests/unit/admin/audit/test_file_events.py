"""The quick way of writing a file's event down writes the same as the model would."""

import random
from datetime import timedelta
from uuid import UUID

import orjson
import pytest
from tests.support.bundles import deposited
from tests.support.transparency import START

from artstore.admin.repository.audit_events import EventRow
from artstore.admin.repository.audit_feeds import Intent
from artstore.admin.services.audit.file_events import FileEvents, event_id_of, kind_of
from artstore.core.model.audit import AuditEvent, PersonalField, commitment
from artstore.core.model.event import Change, ChangeType, Note, NoteType
from artstore.core.model.file import FileRecord, Origin, Uploader

TRACE = "0123456789abcdef" * 2


def change(kind: ChangeType, subject: str = "user:7", seq: int = 5) -> Change:
    record = FileRecord.from_json(deposited(deleted=kind is ChangeType.DELETED).attr)
    uploader = Uploader(subject=subject, name="Мария\0", via="ingester")
    record = record.model_copy(update={"uploaded_by": uploader})
    return Change(seq=seq, type=kind, at=START, trace_id=TRACE, record=record)


def row(told: Change, intent: Intent | None = None) -> EventRow:
    events = FileEvents("rw-1", "feed-1", random.Random(1).randbytes)
    return events.row_of(told, told.record.to_json(), intent)


def asked_by(actor: dict[str, object], facts: dict[str, str]) -> Intent:
    return Intent(1, TRACE, UUID(int=0), "file.deleted", orjson.dumps(actor), orjson.dumps(facts))


@pytest.mark.parametrize("kind", ChangeType)
@pytest.mark.parametrize("subject", ["user:7", "account:a-1", "somebody"])
def test_the_entry_is_the_one_the_model_spells(kind: ChangeType, subject: str) -> None:
    made = row(change(kind, subject))

    event = AuditEvent.from_entry(made.entry)
    assert event.to_entry() == made.entry
    assert UUID(event.event_id) == made.event_id
    assert (event.at, event.kind, event.outcome) == (made.at, made.kind, made.outcome)
    assert (event.actor.person, event.actor.account) == (made.person, made.account)
    assert event.file_id == str(made.file_id)


def test_an_upload_says_by_which_token_and_from_where_it_came() -> None:
    origin = Origin(token_id="t-1", address="203.0.113.9", services=("edge/edge-1", "ingester/i-1"))
    made = row(change(ChangeType.CREATED).model_copy(update={"origin": origin}))

    event, facts = AuditEvent.from_entry(made.entry), orjson.loads(made.facts or b"")
    assert event.to_entry() == made.entry
    assert (event.actor.person, event.actor.token_id) == ("7", "t-1")
    assert event.actor.services == ("edge/edge-1", "ingester/i-1")
    assert facts["client_address"]["value"] == "203.0.113.9"
    assert b"203.0.113.9" not in made.entry, "the log itself holds no address"


def test_what_is_no_name_of_a_service_makes_no_entry_that_nobody_can_read() -> None:
    told = ("edge/edge-1", "Edge/1", "no-module", "edge/" + "x" * 64, "query/q-1\n", "../../x")
    origin = Origin(services=told)
    made = row(change(ChangeType.CREATED).model_copy(update={"origin": origin}))

    assert AuditEvent.from_entry(made.entry).actor.services == ("edge/edge-1",)


def test_every_commitment_opens() -> None:
    made = row(change(ChangeType.DELETED))
    event, facts = AuditEvent.from_entry(made.entry), orjson.loads(made.facts or b"")

    assert facts.keys() == set(event.personal)
    for field, fact in facts.items():
        assert commitment(field, **fact) == event.personal[PersonalField(field)]
    assert facts["reason"]["value"] == "retention ended"


def test_who_asked_for_it_is_the_actor() -> None:
    actor = {"person": "9", "account": None, "token_id": "t", "services": ["edge/edge-1"]}
    facts = {"actor_name": "Пётр", "client_address": "192.0.2.1"}
    made = row(change(ChangeType.DELETED), asked_by(actor, facts))

    event = AuditEvent.from_entry(made.entry)
    assert (event.actor.person, event.actor.token_id) == ("9", "t")
    opened = orjson.loads(made.facts or b"")
    assert opened["actor_name"]["value"] == "Пётр"
    assert opened["client_address"]["value"] == "192.0.2.1"


def test_the_uploader_is_the_actor_of_an_upload() -> None:
    assert row(change(ChangeType.CREATED, "user:7")).person == "7"
    assert row(change(ChangeType.CREATED, "account:a-1")).account == "a-1"
    assert row(change(ChangeType.CREATED, "somebody")).account == "somebody"


def test_a_change_told_twice_is_one_event() -> None:
    told = change(ChangeType.CREATED)

    assert event_id_of("feed-1", told) == event_id_of("feed-1", told)
    assert event_id_of("feed-1", told) != event_id_of("feed-2", told)
    assert event_id_of("feed-1", told) != event_id_of("feed-1", change(ChangeType.CREATED, seq=6))
    later = told.model_copy(update={"at": START + timedelta(seconds=1)})
    assert event_id_of("feed-1", later) > event_id_of("feed-1", told)
    assert event_id_of("feed-1", told).version == 7


def test_what_postgresql_cannot_hold_is_in_the_entry_all_the_same() -> None:
    made = row(change(ChangeType.CREATED, "account:a\0b"))

    assert made.account == "a\ufffdb"
    assert AuditEvent.from_entry(made.entry).actor.account == "a\0b"


def note(kind: NoteType, **detail: object) -> Note:
    return Note(seq=9, type=kind, at=START, trace_id=TRACE, detail=detail)


def note_row(told: Note, intent: Intent | None = None) -> EventRow:
    return FileEvents("rw-1", "feed-1", random.Random(1).randbytes).row_of_note(told, intent)


@pytest.mark.parametrize(
    ("finding", "kind"),
    [
        ("damaged", "file.damage_found"),
        ("log_damaged", "file.damage_found"),
        ("of a later version", "file.damage_found"),
        ("repaired", "file.repaired"),
        ("quarantined_cleared", "file.quarantine_cleared"),
    ],
)
def test_a_finding_is_an_event(finding: str, kind: str) -> None:
    file_id = "01a204bc-d9d3-7009-8001-020304050607"
    made = note_row(note(NoteType.FINDING, finding=finding, file_id=file_id, cause="bad digest"))

    event = AuditEvent.from_entry(made.entry)
    assert event.to_entry() == made.entry
    assert (event.kind, event.file_id, str(made.file_id)) == (kind, file_id, file_id)
    assert event.details["finding"] == finding
    assert event.details["cause"] == "bad digest"
    assert event.element_id == "rw-1"


def test_what_an_element_says_wrongly_stops_nothing() -> None:
    made = note_row(note(NoteType.FINDING, finding=7, file_id="../x", path=["a"], cause="x" * 9999))

    event = AuditEvent.from_entry(made.entry)
    assert event.file_id is None
    assert len(event.details["cause"]) == 2000
    assert kind_of(note(NoteType.FINDING)) == "file.damage_found"


def test_a_change_of_mode_names_who_and_why() -> None:
    told = note(
        NoteType.MODE_CHANGED, **{"from": "rw", "to": "ro", "by": "clerk", "reason": "full"}
    )
    made = note_row(told)
    event, facts = AuditEvent.from_entry(made.entry), orjson.loads(made.facts or b"")
    assert (event.kind, event.details["from"], event.details["to"]) == (
        "element.mode_changed", "rw", "ro",
    )  # fmt: skip
    assert facts["actor_name"]["value"] == "clerk"
    assert facts["reason"]["value"] == "full"

    actor = {"person": "9", "account": None, "token_id": "t", "services": ["edge/edge-1"]}
    asked = note_row(told, asked_by(actor, {"actor_name": "Пётр"})._replace(kind=event.kind))
    assert asked.person == "9"
    assert orjson.loads(asked.facts or b"")["actor_name"]["value"] == "Пётр"
