"""The connection to Valkey, and whether it answers."""

import asyncio
import contextlib

from redis.asyncio import Redis
from redis.exceptions import RedisError

from artstore.core.clock import Clock
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import REDIS_UP
from artstore.core.secrets.chain import LoginSource
from artstore.core.tls import TlsFiles
from artstore.core.valkey import valkey_client

TIMEOUT_S = 0.5
"""It answers in well under a millisecond; longer means it hangs, and sign-ins wait for it."""
PROBE_EVERY_S = 5.0

OUTAGES = (RedisError, OSError, TimeoutError)


class Valkey:
    """Remembers an outage, so that only the probe waits for a server that hangs."""

    def __init__(
        self, url: str, username: str, login: LoginSource, tls: TlsFiles | None, clock: Clock
    ) -> None:
        self.client: Redis = valkey_client(
            url, username, login, tls, timeout_s=TIMEOUT_S, connect_timeout_s=TIMEOUT_S
        )
        self._clock = clock
        self._up = True
        self._down_since_s = 0.0

    @property
    def usable(self) -> bool:
        return self._up or self._clock.monotonic_s() - self._down_since_s > PROBE_EVERY_S

    async def check(self) -> None:
        """
        Raises:
            Unavailable: It does not answer.
        """
        try:
            await self.client.ping()
        except OUTAGES as error:
            self.went_away(error)
            raise Unavailable("Valkey does not answer") from error
        self.answered()

    def answered(self) -> None:
        if not self._up:
            get_logger().info("valkey is back")
        self._up = True
        REDIS_UP.set(1)

    def went_away(self, error: Exception) -> None:
        if self._up:
            get_logger().warning("valkey is away", cause=repr(error))
        self._up = False
        self._down_since_s = self._clock.monotonic_s()
        REDIS_UP.set(0)

    async def watch(self) -> None:
        """Keep the metric true while nobody signs in. Runs until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):  # `check` has noted it.
                await self.check()
            await asyncio.sleep(PROBE_EVERY_S)

    async def close(self) -> None:
        await self.client.aclose()
