"""Who asked an element for a change is known until its feed tells of it, or nobody knows more."""

import os
from datetime import timedelta
from uuid import UUID

import orjson
import pytest
from tests.integration.admin.test_audit_refusals import pool as pool_fixture
from tests.integration.admin.test_audit_refusals import waiting
from tests.integration.admin.test_audit_sequencer import audit as audit_fixture
from tests.integration.admin.test_audit_sequencer import database as database_fixture
from tests.support.audit_writing import CLOCK, AuditUnderTest, writer

from artstore.admin.repository.audit_erasure import Erasing
from artstore.admin.services.audit.erasure import Erasure
from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.trail import Trail, Who
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.model.audit import AuditKind, PersonalField
from artstore.core.model.ids import FileIdSource

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


@pytest.mark.parametrize("how", ["person", "file", "field", "somebody else", "before"])
async def test_facts_are_erased_also_of_those_whose_change_no_feed_has_told_yet(
    audit: AuditUnderTest, pool: Database, how: str
) -> None:
    who = Who(subject="user:7", name="Мария", address="192.0.2.1")
    file_id = FileIdSource().new(CLOCK.now(), os.urandom(10))
    async with Intents(pool, Trail(CLOCK)).asking(who, AuditKind.FILE_DELETED, file_id):
        pass
    erasing = {
        "person": Erasing(person="7"),
        "file": Erasing(file_id=UUID(file_id), until=CLOCK.now() + timedelta(days=1)),
        "field": Erasing(person="7"),
        "somebody else": Erasing(account="7"),
        "before": Erasing(person="7", until=CLOCK.now() - timedelta(days=1)),
    }[how]
    fields = [PersonalField.CLIENT_ADDRESS] if how == "field" else []
    erased = await Erasure(pool, Trail(CLOCK)).erase(erasing, fields, "asked for", Who())
    assert erased == 0, "of no event yet"

    ((facts,),) = audit.query("SELECT facts FROM audit.intents")
    left = set(orjson.loads(bytes(facts)))  # type: ignore[call-overload]
    expected = {"person": set(), "file": set(), "field": {"actor_name"}}
    assert left == expected.get(how, {"actor_name", "client_address"})
