"""Goal: what was revoked gets nobody in, and who cannot know lets nobody in."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.hand_clock import HandClock

from artstore.core.errors import InvalidToken, Unavailable
from artstore.core.model.account import Caller
from artstore.core.revocation import AGE_MAX_S, Revocation, RevocationKind, RevocationMirror


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def mirror(clock: HandClock) -> RevocationMirror:
    mirror = RevocationMirror(clock)
    mirror.confirm()
    return mirror


def caller(clock: HandClock, **changes: Any) -> Caller:
    fields = {
        "subject": "account:1",
        "name": "scanner",
        "scopes": frozenset(),
        "token_id": "t-1",
        "session_id": "s-1",
        "key_id": "k-1",
        "epoch": 2,
        "issued_at": clock.now(),
        "expires_at": clock.now() + timedelta(minutes=30),
    }
    return Caller(**{**fields, **changes})


def revocation(
    clock: HandClock, kind: str, value: str = "", seq: int = 1, **more: Any
) -> Revocation:
    ends_at = clock.now() + timedelta(hours=1)
    return Revocation(
        **{"seq": seq, "kind": RevocationKind(kind), "value": value, "ends_at": ends_at, **more}
    )


@pytest.mark.parametrize(
    ("kind", "value", "more"),
    [
        ("token", "t-1", {}),
        ("session", "s-1", {}),
        ("key", "k-1", {}),
        ("account", "account:1", {"epoch": 3}),
    ],
)
def test_each_kind_ends_its_tokens_and_no_others(
    mirror: RevocationMirror, clock: HandClock, kind: str, value: str, more: dict[str, Any]
) -> None:
    other = caller(clock, token_id="t-2", session_id="s-2", key_id="k-2", subject="account:2")
    mirror.check(caller(clock))
    mirror.apply([revocation(clock, kind, value, **more)])
    with pytest.raises(InvalidToken):
        mirror.check(caller(clock))
    mirror.check(other)


def test_a_token_of_the_new_epoch_is_good(mirror: RevocationMirror, clock: HandClock) -> None:
    mirror.apply([revocation(clock, "account", "account:1", epoch=3)])
    mirror.check(caller(clock, epoch=3))


def test_news_in_the_wrong_order_take_nothing_back(
    mirror: RevocationMirror, clock: HandClock
) -> None:
    mirror.apply([revocation(clock, "account", "account:1", seq=5, epoch=4)])
    mirror.apply([revocation(clock, "account", "account:1", seq=4, epoch=3)])
    with pytest.raises(InvalidToken):
        mirror.check(caller(clock, epoch=3))
    assert mirror.head_seq == 5


def test_everything_before_a_moment(mirror: RevocationMirror, clock: HandClock) -> None:
    before = caller(clock)
    clock.advance(1)
    mirror.apply([revocation(clock, "everything", issued_before=clock.now())])
    with pytest.raises(InvalidToken):
        mirror.check(before)
    mirror.check(caller(clock))


def test_a_mirror_that_nobody_confirms_lets_nobody_in(
    mirror: RevocationMirror, clock: HandClock
) -> None:
    clock.advance(AGE_MAX_S)
    mirror.check(caller(clock))
    clock.advance(0.1)
    with pytest.raises(Unavailable):
        mirror.check(caller(clock))
    mirror.confirm(age_s=AGE_MAX_S + 1)
    with pytest.raises(Unavailable):
        mirror.check(caller(clock))
    mirror.confirm(age_s=1)
    mirror.check(caller(clock))


def test_a_new_mirror_lets_nobody_in(clock: HandClock) -> None:
    with pytest.raises(Unavailable):
        RevocationMirror(clock).check(caller(clock))


def test_what_ended_by_itself_is_forgotten(mirror: RevocationMirror, clock: HandClock) -> None:
    for seq in range(1, 1001):
        ends_at: datetime = clock.now() + timedelta(minutes=30)
        mirror.apply([revocation(clock, "token", f"t-{seq}", seq=seq, ends_at=ends_at)])
        clock.advance(60)
    assert len(mirror.beyond(0)) <= 31
    assert mirror.head_seq == 1000


async def test_who_waits_hears_of_the_next_one(mirror: RevocationMirror, clock: HandClock) -> None:
    waiting = asyncio.create_task(mirror.wait_beyond(0, timeout_s=30))
    await asyncio.sleep(0)
    mirror.apply([revocation(clock, "token", "t-1")])
    assert [each.value for each in await waiting] == ["t-1"]
    assert await mirror.wait_beyond(1, timeout_s=0.01) == []
