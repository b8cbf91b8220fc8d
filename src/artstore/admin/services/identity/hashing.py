"""argon2id, within bounds: it must never take the machine's memory or block the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from artstore.core.errors import TooManyRequests


@dataclass(frozen=True)
class Cost:
    memory_kib: int
    passes: int
    parallelism: int

    def __str__(self) -> str:
        """As it stands in a hash."""
        return f"m={self.memory_kib},t={self.passes},p={self.parallelism}"


COST: Final = Cost(64 * 1024, 3, 4)
"""RFC 9106's second choice, about 130 ms. No setting changes it."""
AT_ONCE_MAX: Final = 2
"""Two hashes hold 128 MiB."""
WAITING_MAX: Final = 32
"""About two seconds of work; whoever comes then is told to come back."""

SECRET_CHARS_MAX: Final = 1024

# Made of random bytes: no secret fits it, and checking one against it takes as long as any.
_NOBODY: Final = (
    "$argon2id$v=19${cost}$Tm1YF6K+xAWlN4Xki0ZdPQ$pwhX2uXc/88U4205wg4g59aWt3b2x6RzVmjTlxpa/to"
)

Outcome = TypeVar("Outcome")


class SecretHasher:
    def __init__(self, cost: Cost = COST) -> None:
        self._nobody = _NOBODY.format(cost=cost)
        self._argon2 = PasswordHasher(cost.passes, cost.memory_kib, cost.parallelism, type=Type.ID)
        self._threads = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="argon2")
        self._pending = 0

    async def hash(self, secret: str) -> str:
        """
        Raises:
            TooManyRequests: Too many hashes are waiting already.
        """
        return await self._run(lambda: self._argon2.hash(secret))

    async def verify(self, stored_hash: str | None, secret: str) -> bool:
        """Whether `secret` belongs to the hash. `None` (nobody has that name) takes as long.

        Raises:
            TooManyRequests: Too many hashes are waiting already.
        """
        return await self._run(lambda: self._matches(stored_hash or self._nobody, secret))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored_hash: str, secret: str) -> bool:
        try:
            return self._argon2.verify(stored_hash, secret)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Outcome]) -> Outcome:
        if self._pending >= AT_ONCE_MAX + WAITING_MAX:
            raise TooManyRequests("too many sign-ins at once", retry_after_s=1)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1
