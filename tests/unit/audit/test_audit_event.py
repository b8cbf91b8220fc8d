import json
import os
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.transparency import audit_events

from artstore.core.errors import InvalidRequest
from artstore.core.model.audit import (
    DETAILS_BYTES_MAX,
    ID_CHARS_MAX,
    PERSONAL_CHARS_MAX,
    AuditEvent,
    AuditKind,
    Disclosure,
    Outcome,
    PersonalField,
    commit_to,
    commitment,
)
from artstore.core.tlog.tiles import ENTRY_BYTES_MAX

EVENT_ID = "01936a2c-0000-7000-8000-000000000000"


def event(**changes: Any) -> AuditEvent:
    known = {
        "event_id": EVENT_ID,
        "kind": AuditKind.FILE_UPLOADED,
        "outcome": Outcome.SUCCEEDED,
        "at": datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
    }
    return AuditEvent(**{**known, **changes})


def test_an_event_has_one_spelling_with_every_member() -> None:
    assert event().to_entry() == (
        b'{"actor":{"account":null,"person":null,"services":[],"token_id":null},'
        b'"at":"2026-11-22T10:30:00.000000Z","collection":null,"correlation_id":null,'
        b'"details":{},"element_id":null,"event_id":"01936a2c-0000-7000-8000-000000000000",'
        b'"file_id":null,"kind":"file.uploaded","outcome":"succeeded","personal":{},'
        b'"problem":null,"schema_version":1,"target":null}'
    )


def test_events_come_back_from_the_log() -> None:
    for stored, _ in audit_events(50):
        assert AuditEvent.from_entry(stored.to_entry()) == stored
        assert AuditEvent.from_entry(stored.to_entry()).to_entry() == stored.to_entry()


def test_times_are_utc_with_one_spelling() -> None:
    moscow = timezone(timedelta(hours=3))
    local = event(at=datetime(2026, 11, 22, 13, 30, tzinfo=moscow))

    assert local.to_entry() == event().to_entry()
    with pytest.raises(ValidationError, match="offset"):
        event(at=datetime(2026, 11, 22, 13, 30))  # noqa: DTZ001


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "file.eaten"},
        {"outcome": "fine"},
        {"event_id": "1"},
        {"details": {"Ключ": 1}},
        {"details": {"ratio": 0.5}},
        {"details": {"text": "x" * DETAILS_BYTES_MAX}},
        {"details": {"text": "\ud800"}},
        {"personal": {"shoe_size": "0" * 64}},
        {"personal": {"filename": "short"}},
        {"actor": {"services": ["nobody knows"]}},
        {"problem": "Not A Code"},
        {"schema_version": 2},
        {"surprise": 1},
    ],
)
def test_what_does_not_fit_the_schema_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        event(**changes)


def test_the_largest_event_fits_into_the_log() -> None:
    everything = dict.fromkeys(PersonalField, "я" * (PERSONAL_CHARS_MAX * 2))
    personal, _ = commit_to(everything, os.urandom)
    text = "x" * (DETAILS_BYTES_MAX - len('{"text":""}'))
    largest = event(
        personal=personal,
        details={"text": text},
        actor={
            "person": "\1" * ID_CHARS_MAX,
            "account": "\1" * ID_CHARS_MAX,
            "token_id": "\1" * ID_CHARS_MAX,
            "services": [f"{'a' * 63}/{'b' * 63}"] * 16,
        },
        target={"type": "account", "id": "\1" * ID_CHARS_MAX},
    )

    assert len(largest.to_entry()) <= ENTRY_BYTES_MAX


def test_a_personal_fact_stands_nowhere_in_the_record() -> None:
    personal, facts = commit_to({PersonalField.ACTOR_NAME: "Мария"}, os.urandom)
    entry = event(personal=personal).to_entry()

    assert "Мария" not in json.dumps(json.loads(entry), ensure_ascii=False)
    fact = facts[PersonalField.ACTOR_NAME]
    assert commitment("actor_name", fact.salt, "Мария") == personal[PersonalField.ACTOR_NAME]


def test_a_commitment_binds_field_salt_and_value() -> None:
    salt, other = "00" * 32, "01" * 32
    true = commitment("actor_name", salt, "10.0.0.1")

    assert true != commitment("client_address", salt, "10.0.0.1")
    assert true != commitment("actor_name", other, "10.0.0.1")
    assert true != commitment("actor_name", salt, "10.0.0.2")


def test_equal_facts_do_not_look_equal() -> None:
    facts = {PersonalField.ACTOR_NAME: "Мария", PersonalField.CLIENT_ADDRESS: "Мария"}
    first, _ = commit_to(facts, os.urandom)
    second, _ = commit_to(facts, os.urandom)

    assert len({*first.values(), *second.values()}) == 4


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_is_committed_to_or_refused(text: str) -> None:
    chance = random.Random(1)
    try:
        personal, facts = commit_to({PersonalField.QUERY: text}, chance.randbytes)
    except InvalidRequest:
        with pytest.raises(UnicodeEncodeError):
            text.encode()
        return
    fact = facts[PersonalField.QUERY]
    assert Disclosure.model_validate_json(fact.model_dump_json()) == fact
    assert commitment("query", fact.salt, text) == personal[PersonalField.QUERY]


def test_facts_that_are_not_known_are_left_out_and_long_ones_cut() -> None:
    facts = {PersonalField.QUERY: None, PersonalField.REASON: "x" * 5000}
    personal, disclosures = commit_to(facts, os.urandom)

    assert personal.keys() == disclosures.keys() == {PersonalField.REASON}
    assert len(disclosures[PersonalField.REASON].value) == PERSONAL_CHARS_MAX


def test_kinds_name_a_thing_and_what_was_done() -> None:
    for kind in AuditKind:
        thing, _, deed = kind.partition(".")
        assert thing.isidentifier()
        assert deed.isidentifier()
