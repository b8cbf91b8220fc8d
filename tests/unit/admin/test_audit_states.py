"""When a state of the audit log counts as confirmed."""

from typing import cast

import pytest
from tests.support.transparency import OTHER_WITNESS_KEY, WITNESS_KEY, cosigned, entry, make_log

from artstore.admin.services.audit.reading import AuditLog, State
from artstore.core.database import Database
from artstore.core.tlog.notes.keys import Algorithm, SigningKey
from artstore.core.tlog.store import MemoryStore

# One witness with two keys, as each of ours has, and another one.
SECOND_KEY = SigningKey.from_seed(WITNESS_KEY.name, Algorithm.ML_DSA_44_COSIGNATURE, bytes(32))
KEYS = [key.verifier for key in (WITNESS_KEY, SECOND_KEY, OTHER_WITNESS_KEY)]


@pytest.mark.parametrize(
    ("signers", "confirmed"),
    [
        ([], 0),
        ([WITNESS_KEY], 1),
        ([WITNESS_KEY, SECOND_KEY], 1),
        ([WITNESS_KEY, OTHER_WITNESS_KEY], 2),
    ],
)
def test_a_state_counts_as_confirmed_by_so_many_witnesses(
    signers: list[SigningKey], confirmed: int
) -> None:
    store = MemoryStore()
    log = make_log(store)
    log.append([entry(0)], 1)
    note = cosigned(log.note, *signers) if signers else log.note
    state = State(store, note)

    for quorum in range(3):
        audit = AuditLog(cast(Database, None), store, KEYS, quorum)
        assert audit.is_confirmed(state) is (confirmed >= quorum)
