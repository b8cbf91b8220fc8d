"""Slows down whoever guesses secrets, without giving strangers a way to lock others out.

Failures are counted per (account, address), so a stranger's failures never count against the
owner, who comes from elsewhere; and per address, so that one address cannot try a few secrets
on each of many accounts. Beyond the free attempts one attempt is let through per delay, and
the delay doubles. An address from which an account came in before has passed its test: the
budget of the address, which many may share, does not hold that account up.

Codes have few digits, and whoever tries them showed the password first: no stranger. Their failures
count for the account too, wherever they come from; a /48 of IPv6 is 65,536 places to try from.
"""

import hashlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from artstore.admin.repository.counters import Counters
from artstore.admin.repository.valkey import OUTAGES, Valkey
from artstore.core.clock import Clock
from artstore.core.errors import TooManyRequests
from artstore.core.web.addresses import network_of

WINDOW_S: Final = 900
TRUST_S: Final = 30 * 24 * 3600

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Limit:
    """`free` failures in `WINDOW_S` cost nothing; then delays double from one second."""

    free: int
    delay_max_s: float

    def delay_s(self, failures: float) -> float:
        """How long until the next attempt; 0 within the free ones."""
        beyond = failures - self.free
        return min(2.0 ** min(beyond, 32) / 2, self.delay_max_s) if beyond > 0 else 0


PAIR_LIMIT: Final = Limit(free=5, delay_max_s=60)
ADDRESS_LIMIT: Final = Limit(free=50, delay_max_s=10)
EVERYWHERE_LIMIT: Final = Limit(free=50, delay_max_s=60)


@dataclass(frozen=True)
class Attempt:
    """Somebody at `address` wants to be `account`."""

    account: str
    address: str
    counts_everywhere: bool = False
    """For the account too: no stranger gets as far as this."""

    @property
    def name(self) -> str:
        # Hashed: names are of any length, and an attempt may hold a password typed
        # into the wrong field.
        return hashlib.sha256(self.account.encode()).hexdigest()[:32]

    @property
    def pair(self) -> str:
        return f"{self.name}:{self.network}"

    @property
    def network(self) -> str:
        return network_of(self.address)


class Throttle:
    def __init__(self, valkey: Valkey, shared: Counters, local: Counters, clock: Clock) -> None:
        """`local` counts while Valkey is away."""
        self._valkey = valkey
        self._shared = shared
        self._local = local
        self._clock = clock

    async def admit(self, attempt: Attempt) -> None:
        """Count the attempt as a failure until `succeeded` is called.

        Counted before it is checked, so that a thousand guesses sent at once do not all
        pass before the first one has failed.

        Raises:
            TooManyRequests: With the time to wait.
        """
        await self._run(lambda counters: self._admit(counters, attempt))

    async def succeeded(self, attempt: Attempt) -> None:
        await self._run(lambda counters: self._succeeded(counters, attempt))

    async def _admit(self, counters: Counters, attempt: Attempt) -> None:
        await self._pass(counters, f"pair:{attempt.pair}", PAIR_LIMIT)
        if not await counters.number(_trust_key(attempt)):
            await self._pass(counters, f"address:{attempt.network}", ADDRESS_LIMIT)
            if attempt.counts_everywhere:
                await self._pass(counters, f"everywhere:{attempt.name}", EVERYWHERE_LIMIT)

    async def _pass(self, counters: Counters, key: str, limit: Limit) -> None:
        delay_s = limit.delay_s(await self._count(counters, key))
        if delay_s == 0:
            return
        wait_s = await counters.claim(f"{key}:wait", delay_s)
        if wait_s > 0:
            raise TooManyRequests(
                "too many failed attempts; wait before the next one",
                retry_after_s=math.ceil(wait_s),
            )

    async def _count(self, counters: Counters, key: str) -> float:
        """Failures in the last `WINDOW_S`, this one included.

        A sliding window from two fixed ones: the share of the last that still counts.
        """
        window, elapsed_s = divmod(self._clock.now().timestamp(), WINDOW_S)
        current = await counters.add(f"{key}:{int(window)}", 1, 2 * WINDOW_S)
        previous = await counters.number(f"{key}:{int(window) - 1}")
        return current + max(previous, 0) * (1 - elapsed_s / WINDOW_S)

    async def _succeeded(self, counters: Counters, attempt: Attempt) -> None:
        window = int(self._clock.now().timestamp() // WINDOW_S)
        pair = f"pair:{attempt.pair}"
        await counters.forget(f"{pair}:{window}", f"{pair}:{window - 1}", f"{pair}:wait")
        if not await counters.number(_trust_key(attempt)):
            await counters.add(f"address:{attempt.network}:{window}", -1, 2 * WINDOW_S)
            if attempt.counts_everywhere:
                await counters.add(f"everywhere:{attempt.name}:{window}", -1, 2 * WINDOW_S)
        await counters.add(_trust_key(attempt), 1, TRUST_S)

    async def _run(self, work: Callable[[Counters], Awaitable[Outcome]]) -> Outcome:
        if self._valkey.usable:
            try:
                outcome = await work(self._shared)
            except OUTAGES as error:
                self._valkey.went_away(error)
            else:
                self._valkey.answered()
                return outcome
        return await work(self._local)


def _trust_key(attempt: Attempt) -> str:
    return f"trusted:{attempt.pair}"
