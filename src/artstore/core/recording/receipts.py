"""Signs deposit receipts, with a key that is born with the process and registered with the admin
module before it signs. Nothing is asked and nothing is read for a receipt.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from artstore.core.audit.receipts import PublicReceiptKey, SigningKey
from artstore.core.clock import Clock
from artstore.core.errors import InternalError, Unavailable
from artstore.core.http import Transport
from artstore.core.logging import get_logger
from artstore.core.metrics import RECEIPTS_MISSING
from artstore.core.model.file import FileRecord

PATH: Final = "/api/v1/receipt-keys"
RENEW_BEFORE: Final = timedelta(days=10)
"""The admin module may be away for so long before receipts stop."""
RETRY_MIN_S: Final = 0.25
RETRY_MAX_S: Final = 30.0
LOOK_AGAIN_S: Final = 600.0

Register = Callable[[str], Awaitable[PublicReceiptKey]]
"""Makes a public key known for good. Raises when that is not certain."""


class ReceiptIssuer:
    """One per process."""

    def __init__(self, register: Register, issuer: str, clock: Clock) -> None:
        """`issuer`: which archive, as in its tokens."""
        self._register = register
        self._issuer = issuer
        self._clock = clock
        self._key: SigningKey | None = None
        self._public: PublicReceiptKey | None = None

    def issue(self, record: FileRecord) -> str | None:
        """The receipt for a file that is durable. `None` without a registered key: a deposit
        counts more than its receipt, which the admin module gives at any later time."""
        now = self._clock.now()
        if self._key is None or self._public is None or now.timestamp() >= self._public.exp:
            RECEIPTS_MISSING.inc()
            return None
        return self._key.sign(record, self._issuer, now)

    async def ready(self) -> None:
        """For the readiness check. Raises `Unavailable` until the first key is registered."""
        if self._public is None:
            raise Unavailable("the key for deposit receipts is not registered yet")

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                if self._is_due():
                    await self._renew()
                failures = 0
                await asyncio.sleep(LOOK_AGAIN_S)
            except Exception as error:  # noqa: BLE001  the edge of the job: it is tried again
                get_logger().warning("no new key for deposit receipts", cause=repr(error))
                await asyncio.sleep(min(RETRY_MIN_S * 2**failures, RETRY_MAX_S))
                failures = min(failures + 1, 10)

    def _is_due(self) -> bool:
        if self._public is None:
            return True
        left_s = self._public.exp - self._clock.now().timestamp()
        return left_s < RENEW_BEFORE.total_seconds()

    async def _renew(self) -> None:
        key = SigningKey()
        public = await self._register(key.public_x)
        self._key, self._public = key, public


def register_with(transport: Transport, admin_url: str) -> Register:
    """With the admin module at `admin_url`."""

    async def register(public_x: str) -> PublicReceiptKey:
        url = f"{admin_url.rstrip('/')}{PATH}"
        headers = {"Content-Type": "application/json"}
        body = b'{"x":"%b"}' % public_x.encode()
        async with transport.request(
            "POST", url, peer="admin", headers=headers, data=body
        ) as response:
            answer = await response.read()
        try:
            return PublicReceiptKey.model_validate_json(answer)
        except ValidationError as error:
            raise InternalError from error

    return register
