"""Refusals of one source are told one by one up to a number, and then as their number."""

from collections.abc import AsyncIterator

import pytest
from tests.integration.admin.test_audit_sequencer import audit as audit_fixture
from tests.integration.admin.test_audit_sequencer import database as database_fixture
from tests.support.audit_writing import CLOCK, AuditUnderTest

from artstore.admin.services.audit.attempts import Attempts
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.core.database import Database
from artstore.core.errors import InvalidCredentials, TooManyRequests
from artstore.core.model.audit import AuditEvent, AuditKind, Outcome
from artstore.core.recording import tally
from artstore.core.secrets.chain import fixed_login

audit = audit_fixture
database = database_fixture
WHO = Who(subject="user:7", name="Мария", address="192.0.2.1")
REFUSED = Deed(AuditKind.FILE_DELETED, Outcome.REFUSED, problem="retention_forbids")


@pytest.fixture
async def pool(audit: AuditUnderTest) -> AsyncIterator[Database]:
    made = Database(
        audit.database.admin_url, fixed_login(audit.database.admin_password), application_name="t"
    )
    yield made
    await made.close()


def waiting(audit: AuditUnderTest) -> list[AuditEvent]:
    rows = audit.query("SELECT entry FROM audit.outbox ORDER BY position")
    return [AuditEvent.from_entry(bytes(entry)) for (entry,) in rows]  # type: ignore[call-overload]


async def test_a_flood_of_one_account_is_bounded(
    audit: AuditUnderTest, pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = Trail(CLOCK)
    async with pool.session() as session:
        for _ in range(50):
            await trail.record_refusal(session, WHO, REFUSED, 5)
        await trail.record_refusal(session, Who(subject="user:8"), REFUSED, 5)
        await trail.tell_counted(session)
    assert len(waiting(audit)) == 6, "the minute is not over"

    monkeypatch.setattr(tally, "WINDOW_S", 0.0)
    async with pool.session() as session:
        await trail.tell_counted(session)
    last = waiting(audit)[-1]
    assert last.details["further_refusals"] == 45
    assert (last.actor.person, last.problem) == ("7", "retention_forbids")


async def test_throttled_attempts_are_counted_by_address_and_others_told(
    audit: AuditUnderTest, pool: Database
) -> None:
    attempts = Attempts(pool, Trail(CLOCK))
    for number in range(10):
        failure = InvalidCredentials() if number < 3 else TooManyRequests()
        with pytest.raises(type(failure)):
            async with attempts.watched(AuditKind.SIGN_IN, WHO.named(f"name-{number}")):
                raise failure
    assert [event.problem for event in waiting(audit)] == [
        *["invalid_credentials"] * 3,
        "too_many_requests",
    ]
