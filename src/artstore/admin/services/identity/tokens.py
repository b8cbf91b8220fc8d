"""Access tokens: JWT, RS256, `at+jwt` (RFC 9068)."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from artstore.admin.services.identity.signing_keys import KeyRing
from artstore.core.clock import Clock
from artstore.core.model.account import Scope
from artstore.core.tokens import AUDIENCE

TOKEN_ID_BYTES = 16


@dataclass(frozen=True)
class AccessToken:
    token: str
    expires_in_s: int
    scopes: tuple[Scope, ...]


class TokenIssuer:
    def __init__(self, keys: KeyRing, issuer: str, lifetime_s: int, clock: Clock) -> None:
        self._keys = keys
        self._issuer = issuer
        self._lifetime = timedelta(seconds=lifetime_s)
        self._clock = clock

    async def issue(
        self, *, subject: str, client_id: str, name: str, scopes: Iterable[Scope]
    ) -> AccessToken:
        granted = tuple(sorted(scopes))
        issued_at = self._clock.now()
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "client_id": client_id,
            "name": name,
            "scope": " ".join(granted),
            "jti": secrets.token_urlsafe(TOKEN_ID_BYTES),
            "iat": int(issued_at.timestamp()),
            "exp": int((issued_at + self._lifetime).timestamp()),
        }
        token = await self._keys.sign(claims)
        return AccessToken(token, int(self._lifetime.total_seconds()), granted)
