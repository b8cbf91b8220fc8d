"""One attempt to show a secret: throttled before it is checked, and as slow whoever is meant."""

from artstore.admin.services.identity.hashing import SECRET_CHARS_MAX, SecretHasher
from artstore.admin.services.identity.throttle import Attempt, Throttle
from artstore.core.errors import InvalidCredentials, TooManyRequests
from artstore.core.metrics import LOGINS


class Proving:
    def __init__(self, throttle: Throttle, hasher: SecretHasher) -> None:
        self._throttle = throttle
        self._hasher = hasher

    async def prove(self, stored_hash: str | None, secret: str, attempt: Attempt) -> None:
        """`None`: nobody has that name, which takes as long to find out.

        Raises:
            InvalidCredentials: The secret is not the one.
            TooManyRequests: After too many failures.
        """
        await self.admit(attempt)
        try:
            matches = await self._hasher.verify(stored_hash, secret[:SECRET_CHARS_MAX])
        except TooManyRequests:
            LOGINS.labels("throttled").inc()
            raise
        if not matches or len(secret) > SECRET_CHARS_MAX:
            raise refusal()

    async def admit(self, attempt: Attempt) -> None:
        try:
            await self._throttle.admit(attempt)
        except TooManyRequests:
            LOGINS.labels("throttled").inc()
            raise

    async def succeeded(self, attempt: Attempt) -> None:
        await self._throttle.succeeded(attempt)


def refusal() -> InvalidCredentials:
    LOGINS.labels("refused").inc()
    return InvalidCredentials()
