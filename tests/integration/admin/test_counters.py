"""What every kind of counters must do; Valkey's and those in memory alike."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from artstore.admin.repository import counters as counters_module
from artstore.admin.repository.counters import Counters, MemoryCounters, ValkeyCounters
from artstore.core.clock import SystemClock


@pytest.fixture(params=["valkey", "memory"])
async def counters(request: pytest.FixtureRequest, valkey: str) -> AsyncIterator[Counters]:
    if request.param == "memory":
        yield MemoryCounters(SystemClock())
        return
    client = Redis.from_url(valkey)
    yield ValkeyCounters(client)
    await client.aclose()


@pytest.fixture
def key() -> str:
    return uuid4().hex


async def test_numbers_add_up(counters: Counters, key: str) -> None:
    assert await counters.number(key) == 0
    assert [await counters.add(key, 1, 60) for _ in range(3)] == [1, 2, 3]
    assert await counters.add(key, -2, 60) == 1
    assert await counters.number(key) == 1


async def test_a_claim_is_won_once(counters: Counters, key: str) -> None:
    results = await asyncio.gather(*(counters.claim(key, 60) for _ in range(20)))
    assert results.count(0) == 1
    assert all(0 < left_s <= 60 for left_s in results if left_s)


async def test_a_claim_ends(counters: Counters, key: str) -> None:
    assert await counters.claim(key, 0.05) == 0
    await asyncio.sleep(0.1)
    assert await counters.claim(key, 60) == 0


async def test_what_is_forgotten_is_gone(counters: Counters, key: str) -> None:
    await counters.add(key, 5, 60)
    await counters.claim(f"{key}:wait", 60)
    await counters.forget(key, f"{key}:wait")
    assert await counters.number(key) == 0
    assert await counters.claim(f"{key}:wait", 60) == 0


async def test_numbers_expire(counters: Counters, key: str) -> None:
    await counters.add(key, 5, 1)
    await asyncio.sleep(1.1)
    assert await counters.number(key) == 0


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters_module, "ENTRIES_MAX", 10)
    counters = MemoryCounters(SystemClock())
    for number in range(50):
        await counters.add(str(number), 1, 60)
    assert sum([await counters.number(str(number)) for number in range(50)]) == 10
