"""Whoever signs receipts registers the key first, renews it in time, and never makes one up."""

import asyncio
from datetime import timedelta

import pytest
from tests.support.hand_clock import HandClock
from tests.unit.audit.test_receipts import ISSUER, RECORD, key_set

from artstore.core.audit.receipts import KEY_VALID_FOR, PublicReceiptKey, thumbprint
from artstore.core.errors import Unavailable
from artstore.core.recording import receipts
from artstore.core.recording.receipts import ReceiptIssuer


class Registry:
    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.keys: list[PublicReceiptKey] = []
        self.asked = 0
        self.away = False

    async def register(self, x: str) -> PublicReceiptKey:
        self.asked += 1
        if self.away:
            raise Unavailable
        now = self._clock.now()
        key = PublicReceiptKey(
            x=x,
            kid=thumbprint(x),
            iat=int(now.timestamp()),
            exp=int((now + KEY_VALID_FOR).timestamp()),
            service="ingester/ingester-1",
        )
        self.keys.append(key)
        return key


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_MIN_S", "RETRY_MAX_S", "LOOK_AGAIN_S"):
        monkeypatch.setattr(receipts, name, 0.0)


async def test_nothing_is_signed_before_the_key_is_registered() -> None:
    clock = HandClock()
    registry = Registry(clock)
    registry.away = True
    issuer = ReceiptIssuer(registry.register, ISSUER, clock)
    running = asyncio.create_task(issuer.run())

    await until(lambda: registry.asked >= 3)
    assert issuer.issue(RECORD) is None
    with pytest.raises(Unavailable):
        await issuer.ready()

    registry.away = False
    await until(lambda: registry.keys)
    await issuer.ready()
    token = issuer.issue(RECORD)
    assert token is not None
    assert key_set(*registry.keys).verify(token).file_id == RECORD.file_id
    running.cancel()


async def test_a_key_is_renewed_in_time_and_the_old_one_signs_until_then() -> None:
    clock = HandClock()
    registry = Registry(clock)
    issuer = ReceiptIssuer(registry.register, ISSUER, clock)
    running = asyncio.create_task(issuer.run())
    await until(lambda: registry.keys)

    registry.away = True
    clock.advance(timedelta(days=21).total_seconds())
    asked = registry.asked
    await until(lambda: registry.asked > asked)
    old = issuer.issue(RECORD)
    registry.away = False
    await until(lambda: len(registry.keys) == 2)
    await asyncio.sleep(0)
    new = issuer.issue(RECORD)

    assert old is not None
    assert new is not None
    assert old.split(".")[0] != new.split(".")[0]
    for token in (old, new):
        key_set(*registry.keys).verify(token)
    running.cancel()


async def test_a_key_that_ended_signs_nothing() -> None:
    clock = HandClock()
    registry = Registry(clock)
    issuer = ReceiptIssuer(registry.register, ISSUER, clock)
    running = asyncio.create_task(issuer.run())
    await until(lambda: registry.keys)

    registry.away = True
    clock.advance(KEY_VALID_FOR.total_seconds())

    assert issuer.issue(RECORD) is None
    await issuer.ready()
    running.cancel()
