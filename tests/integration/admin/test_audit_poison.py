"""Goal: one event that is odd, or somebody who tells untrue things, never stops the one writer of
the log, and never puts into it what nobody can read.

Method: events as a module or an element in foreign hands would make them, into a real log.
"""

import secrets
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from tests.integration.admin.test_audit_sequencer import audit as audit_fixture
from tests.integration.admin.test_audit_sequencer import database as database_fixture
from tests.support.audit_writing import TRAIL, AuditUnderTest, make_event
from tests.support.bundles import deposited

from artstore.admin.services.audit.file_events import FileEvents
from artstore.admin.services.audit.intake import ReportIntake
from artstore.admin.services.audit.trail import Deed, Who
from artstore.admin.services.catalogue.feed_lines import parse_line
from artstore.core.errors import InvalidRequest
from artstore.core.model.audit import AuditKind, Target
from artstore.core.model.event import Change, ChangeType
from artstore.core.model.file import FileRecord, Origin, Uploader
from artstore.core.recording.reports import line_of

audit = audit_fixture
database = database_fixture

LONG = secrets.token_hex(30_000)
"""Of chance, so that PostgreSQL cannot make it fit by compressing it."""


def change(subject: str, origin: Origin | None = None, seq: int = 5) -> Change:
    record = FileRecord.from_json(deposited().attr)
    uploader = Uploader(subject=subject, name=LONG, via="cli")
    record = record.model_copy(update={"uploaded_by": uploader, "original_filename": "д" * 1024})
    at = datetime(2027, 1, 1, tzinfo=UTC)
    return Change(seq=seq, type=ChangeType.CREATED, at=at, record=record, origin=origin)


async def test_an_element_that_tells_endless_ids_does_not_stop_the_log(
    audit: AuditUnderTest,
) -> None:
    origin = Origin(token_id=LONG, address=LONG, services=("edge/edge-1",))
    events = FileEvents("rw-1", "feed-1")
    rows = [
        events.row_of(told, told.record.to_json(), None)
        for told in (
            change(f"user:{LONG}", origin, 5),
            change(f"account:{LONG}", None, 6),
            change(f"user:{LONG[:4000]}", None, 7),
        )
    ]
    await audit.tell([*rows, make_event(1)])
    await audit.write_all()

    audit.check()
    audit.facts_open()


async def test_a_quick_line_with_a_long_subject_becomes_the_same_row(
    audit: AuditUnderTest,
) -> None:
    told = change("user:" + LONG[:4000])
    line = parse_line(told.model_dump_json().encode())
    assert isinstance(line, Change), "it is left to the way that cuts"


@pytest.mark.parametrize(
    "who",
    [Who(subject=f"user:{LONG}"), Who(subject=f"account:{LONG}"), Who(token_id=LONG)],
    ids=["person", "account", "token"],
)
def test_a_report_with_an_endless_id_is_none(who: Who) -> None:
    with pytest.raises(ValidationError):
        TRAIL.event_of(who, Deed(AuditKind.FILE_DOWNLOADED))


def test_a_target_with_an_endless_id_is_none() -> None:
    with pytest.raises(ValidationError):
        Target(type="account", id=LONG)


async def test_a_reporter_cannot_tell_what_the_log_cannot_hold(audit: AuditUnderTest) -> None:
    event, facts = TRAIL.event_of(Who(subject="user:7"), Deed(AuditKind.FILE_DOWNLOADED))
    line = line_of(event, facts).replace(b'"person":"7"', b'"person":"%b"' % LONG.encode())

    with pytest.raises(InvalidRequest):
        await ReportIntake(None, TRAIL).take([line], None)  # type: ignore[arg-type]
