"""Access tokens: JWT, RS256, `at+jwt` (RFC 9068)."""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from artstore.admin.services.identity.signing_keys import KeyRing
from artstore.core.clock import Clock
from artstore.core.model.account import Grant, Scope
from artstore.core.tokens import AUDIENCE, grants_claim

TOKEN_ID_BYTES = 16


@dataclass(frozen=True)
class PersonalSession:
    """Of a person who signed in: which one, how, and when."""

    session_id: str
    methods: Collection[str]
    authenticated_at: datetime


@dataclass(frozen=True)
class Holder:
    """Whom a token speaks for."""

    subject: str
    client_id: str
    name: str
    epoch: int
    grants: Collection[Grant] | None = None
    """`None`: the scopes hold in all collections."""
    requests_per_minute: int | None = None
    session: PersonalSession | None = None
    certificate: str | None = None
    """Thumbprint of the certificate that the token is bound to."""

    def claims(self) -> dict[str, Any]:
        claims: dict[str, Any] = {
            "sub": self.subject,
            "client_id": self.client_id,
            "name": self.name,
            "epoch": self.epoch,
        }
        if self.grants is not None:
            claims["collections"] = grants_claim(self.grants)
        if self.requests_per_minute is not None:
            claims["rpm"] = self.requests_per_minute
        if self.certificate is not None:
            claims["cnf"] = {"x5t#S256": self.certificate}
        if self.session is not None:
            claims["sid"] = self.session.session_id
            claims["amr"] = sorted(self.session.methods)
            claims["auth_time"] = int(self.session.authenticated_at.timestamp())
        return claims


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

    async def issue(self, holder: Holder, scopes: Iterable[Scope]) -> AccessToken:
        granted = tuple(sorted(scopes))
        issued_at = self._clock.now()
        claims = {
            **holder.claims(),
            "iss": self._issuer,
            "aud": AUDIENCE,
            "scope": " ".join(granted),
            "jti": secrets.token_urlsafe(TOKEN_ID_BYTES),
            "iat": int(issued_at.timestamp()),
            "exp": int((issued_at + self._lifetime).timestamp()),
        }
        token = await self._keys.sign(claims)
        return AccessToken(token, int(self._lifetime.total_seconds()), granted)
