"""Goal: what was committed is in force when its caller is answered, on a slow database too."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.hand_clock import HandClock

from artstore.admin.services.identity import revocation
from artstore.admin.services.identity.revocation import Revocations
from artstore.core.errors import Unavailable
from artstore.core.revocation import Revocation, RevocationKind, RevocationMirror


async def test_an_answer_from_before_the_commit_is_not_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revocation, "DATABASE_ANSWER_S", 0.01)
    clock = HandClock()
    made = Revocation(
        seq=1, kind=RevocationKind.TOKEN, value="t-1", ends_at=clock.now() + timedelta(hours=1)
    )
    answers, late = [[], [made]], asyncio.Event()

    async def beyond(*_: object) -> list[Revocation]:
        answer = answers.pop(0)
        await late.wait()
        return answer

    database: Any = SimpleNamespace(answers=True)
    valkey: Any = SimpleNamespace(usable=False)
    revocations = Revocations(database, valkey, RevocationMirror(clock), clock)
    monkeypatch.setattr(revocation.repository, "beyond", beyond)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await revocations.spread()
    late.set()
    await revocations.spread()
    assert revocations.mirror.beyond(0) == [made]
