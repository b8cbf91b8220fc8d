"""Who asked an element for a change is known until its feed tells of it, or nobody knows more."""

from datetime import timedelta

import pytest
from tests.integration.admin.test_audit_refusals import pool as pool_fixture
from tests.integration.admin.test_audit_refusals import waiting
from tests.integration.admin.test_audit_sequencer import audit as audit_fixture
from tests.integration.admin.test_audit_sequencer import database as database_fixture
from tests.support.audit_writing import CLOCK, AuditUnderTest, writer

from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.trail import Trail, Who
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.model.audit import AuditKind

audit = audit_fixture
database = database_fixture
pool = pool_fixture


async def settle(audit: AuditUnderTest, pool: Database) -> None:
    made = writer(audit.database.admin_url, "", audit.folder, pool)
    async with await audit.connect() as connection:
        await made._settle_intents(connection)


def asked(audit: AuditUnderTest, ago: timedelta) -> None:
    audit.query("UPDATE audit.intents SET asked_at = now() - %s::interval", ago)


async def test_nobody_is_made_up_for_a_change_that_nobody_asked_for(
    audit: AuditUnderTest, pool: Database
) -> None:
    intents = Intents(pool, Trail(CLOCK, "a-1"))
    with pytest.raises(Unavailable):
        async with intents.asking(Who(), AuditKind.FILE_COPIED):
            raise Unavailable
    asked(audit, timedelta(days=2))
    await settle(audit, pool)

    (event,) = waiting(audit)
    assert event.outcome == "failed"
    assert (event.actor.person, event.actor.account) == (None, None)
    assert len(set(event.actor.services)) == len(event.actor.services)


async def test_an_element_may_be_away_for_weeks_before_it_tells(
    audit: AuditUnderTest, pool: Database
) -> None:
    """Else its copies would be told as uploads, and its deletions without whoever wanted them."""
    async with Intents(pool, Trail(CLOCK)).asking(Who(subject="user:7"), AuditKind.FILE_DELETED):
        pass
    asked(audit, timedelta(days=20))
    await settle(audit, pool)
    assert audit.query("SELECT count(*) FROM audit.intents") == [(1,)]

    asked(audit, timedelta(days=400))
    await settle(audit, pool)
    assert audit.query("SELECT count(*) FROM audit.intents") == [(0,)]
    assert waiting(audit) == []
