"""Numbers that expire, shared by all instances through Valkey, or held in this process."""

from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Protocol

from opentelemetry.trace import SpanKind
from redis.asyncio import Redis

from artstore.core.clock import Clock
from artstore.core.spans import child_span

PREFIX = "artstore:throttle:"
ENTRIES_MAX = 100_000
"""Of the counters in memory: bounded whatever strangers send."""


class Counters(Protocol):
    """All keys expire. Each operation is atomic between instances."""

    async def add(self, key: str, amount: int, lifetime_s: int) -> int:
        """The number after adding; its life begins anew."""
        ...

    async def number(self, key: str) -> int:
        """0 when there is none."""
        ...

    async def claim(self, key: str, lifetime_s: float) -> float:
        """0 when the key was free and is now taken, else the seconds until it is free."""
        ...

    async def forget(self, *keys: str) -> None: ...


class ValkeyCounters:
    def __init__(self, client: Redis) -> None:
        self._client = client

    async def add(self, key: str, amount: int, lifetime_s: int) -> int:
        async with self._client.pipeline(transaction=True) as pipeline:
            pipeline.incrby(PREFIX + key, amount)
            pipeline.expire(PREFIX + key, lifetime_s)
            with _span("INCRBY"):
                number, _ = await pipeline.execute()
        return int(number)

    async def number(self, key: str) -> int:
        with _span("GET"):
            return int(await self._client.get(PREFIX + key) or 0)

    async def claim(self, key: str, lifetime_s: float) -> float:
        lifetime_ms = max(1, int(lifetime_s * 1000))
        with _span("SET"):
            is_free = await self._client.set(PREFIX + key, 1, nx=True, px=lifetime_ms)
        if is_free:
            return 0
        left_ms = int(await self._client.pttl(PREFIX + key))
        return max(left_ms, 1) / 1000

    async def forget(self, *keys: str) -> None:
        with _span("DEL"):
            await self._client.delete(*(PREFIX + key for key in keys))


def _span(operation: str) -> AbstractContextManager[None]:
    """Without the key: it names people."""
    name, values = f"valkey {operation}", {"db.system.name": "valkey"}
    return child_span(name, SpanKind.CLIENT, values)


class MemoryCounters:
    """For one instance, while Valkey is away. The oldest entries go when there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def add(self, key: str, amount: int, lifetime_s: int) -> int:
        number = await self.number(key) + amount
        self._put(key, number, lifetime_s)
        return number

    async def number(self, key: str) -> int:
        number, ends_at_s = self._entries.get(key, (0, 0.0))
        return number if ends_at_s > self._clock.monotonic_s() else 0

    async def claim(self, key: str, lifetime_s: float) -> float:
        _, ends_at_s = self._entries.get(key, (0, 0.0))
        left_s = ends_at_s - self._clock.monotonic_s()
        if left_s > 0:
            return left_s
        self._put(key, 1, lifetime_s)
        return 0

    async def forget(self, *keys: str) -> None:
        for key in keys:
            self._entries.pop(key, None)

    def _put(self, key: str, number: int, lifetime_s: float) -> None:
        self._entries[key] = (number, self._clock.monotonic_s() + lifetime_s)
        self._entries.move_to_end(key)
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)
