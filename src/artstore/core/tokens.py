"""Checks access tokens: JWT, RS256, `at+jwt` (RFC 9068), signed by the admin module.

Keys come from its JWKS and are kept; a fetch that fails never drops good ones. A token that
was verified is remembered until it ends, so the steady state costs a look-up.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from artstore.core.clock import Clock
from artstore.core.errors import InvalidToken, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.account import Caller, Scope

ALGORITHM: Final = "RS256"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  a media type, not a secret
AUDIENCE: Final = "artstore"
TOKEN_BYTES_MAX = 8192
VERIFIED_MAX = 10_000
REFETCH_AFTER_S = 30.0
"""A stranger who sends made-up key ids must not turn us against the admin module."""
CLOCK_SKEW_S = 5

FetchKeys = Callable[[], Awaitable[dict[str, Any]]]
"""Gets the JWKS document. Raises `Unavailable` when the issuer is away."""


class SigningKeys:
    """The issuer's public keys, by key id."""

    def __init__(self, fetch: FetchKeys, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, RSAKey] = {}
        self._fetched_at_s = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> RSAKey | None:
        """The key; `None` if the issuer does not know it either.

        Raises:
            Unavailable: No keys are known at all and they cannot be fetched.
        """
        if key_id not in self._keys:
            await self.refresh()
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Fetch the keys, at most once in `REFETCH_AFTER_S` while there are some."""
        async with self._fetching:
            now_s = self._clock.monotonic_s()
            if self._keys and now_s - self._fetched_at_s < REFETCH_AFTER_S:
                return
            try:
                document = await self._fetch()
            except Unavailable:
                if not self._keys:
                    raise
                get_logger().warning("signing keys could not be refreshed")
                self._fetched_at_s = now_s
                return
            self._keys = _rsa_keys(document)
            self._fetched_at_s = now_s


def _rsa_keys(document: dict[str, Any]) -> dict[str, RSAKey]:
    keys = KeySet.import_key_set({"keys": document.get("keys", [])}).keys
    return {key.kid: key for key in keys if isinstance(key, RSAKey) and key.kid}


class TokenVerifier:
    def __init__(self, fetch: FetchKeys, issuer: str, clock: Clock) -> None:
        self._keys = SigningKeys(fetch, clock)
        self._clock = clock
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=CLOCK_SKEW_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            jti={"essential": True},
            scope={"essential": True, "allow_blank": True},
        )
        self._verified: OrderedDict[str, Caller] = OrderedDict()

    async def ready(self) -> None:
        """For the readiness check: the keys are known."""
        await self._keys.refresh()

    async def verify(self, token: str) -> Caller:
        """Whoever `token` speaks for.

        Raises:
            InvalidToken: Whatever is wrong with it; the answer does not say what.
            Unavailable: The signing keys are not known and cannot be fetched.
        """
        caller = self._verified.get(token)
        if caller is None:
            caller = await self._verify_signature(token)
            self._verified[token] = caller
            if len(self._verified) > VERIFIED_MAX:
                self._verified.popitem(last=False)
        if caller.expires_at <= self._clock.now():
            self._verified.pop(token, None)
            raise InvalidToken
        return caller

    async def _verify_signature(self, token: str) -> Caller:
        key_id = _key_id(token)
        key = await self._keys.find(key_id)
        if key is None:
            raise InvalidToken
        try:
            decoded = jwt.decode(token, key, algorithms=[ALGORITHM])
            self._claims.validate(decoded.claims)
            return _caller(decoded.claims)
        except (JoseError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise InvalidToken from error


def _key_id(token: str) -> str:
    """The key id in the header, of a token that has the only form we accept."""
    if len(token) > TOKEN_BYTES_MAX or token.count(".") != 2:
        raise InvalidToken
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise InvalidToken from error
    key_id = header.get("kid")
    if (
        header.get("alg") != ALGORITHM
        or header.get("typ") != TOKEN_TYPE
        or not isinstance(key_id, str)
        or "crit" in header
    ):
        raise InvalidToken
    return key_id


def _caller(claims: dict[str, Any]) -> Caller:
    known = {scope.value for scope in Scope}
    return Caller(
        subject=_text(claims["sub"]),
        name=_text(claims.get("name", claims["sub"])),
        scopes=frozenset(Scope(part) for part in _text(claims["scope"]).split() if part in known),
        token_id=_text(claims["jti"]),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a claim that must be text is not")
    return value
