"""Checks access tokens: JWT, RS256, `at+jwt` (RFC 9068), signed by the admin module.

Keys come from its JWKS and are kept; a fetch that fails never drops good ones. A token that
was verified is remembered until it ends, so the steady state costs a look-up.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from artstore.core.clock import Clock
from artstore.core.errors import InvalidToken, TooManyRequests, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.account import Caller, Grant, Right, Scope
from artstore.core.revocation import RevocationMirror

ALGORITHM: Final = "RS256"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  a media type, not a secret
AUDIENCE: Final = "artstore"
TOKEN_BYTES_MAX = 8192
VERIFIED_MAX = 10_000
REFETCH_AFTER_S = 30.0
"""A stranger who sends made-up key ids must not turn us against the admin module."""
FETCH_FAILED_AFTER_S = 1.0
"""Until the next try, while no key is known at all."""
KEYS_AGE_MAX_S = 300.0
"""Older ones are fetched anew beside the work, so that the next key is known before it signs and
a key that is gone is forgotten."""
CLOCK_SKEW_S = 5
RIGHT_LETTERS: Final = {"r": Right.READ, "w": Right.WRITE, "d": Right.DELETE, "m": Right.MANAGE}
"""How grants stand in a token: `{"photos": ["rw", <ends at, seconds since 1970, or null>]}`."""

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
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> RSAKey | None:
        """The key; `None` if the issuer does not know it either.

        Raises:
            Unavailable: No keys are known at all and they cannot be fetched.
        """
        if key_id not in self._keys:
            await self.refresh()
        elif self._age_s() > KEYS_AGE_MAX_S and not self._fetching.locked():
            self._refreshing = asyncio.create_task(self.refresh())
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Fetch the keys, at most once in `REFETCH_AFTER_S` while there are some."""
        async with self._fetching:
            if self._keys and self._age_s() < REFETCH_AFTER_S:
                return
            if not self._keys and self._age_s() < FETCH_FAILED_AFTER_S:
                raise Unavailable("the signing keys are not known yet")
            self._fetched_at_s = self._clock.monotonic_s()
            try:
                document = await self._fetch()
            except Unavailable:
                if not self._keys:
                    raise
                get_logger().warning("signing keys could not be refreshed")
                return
            self._keys = _rsa_keys(document)

    def _age_s(self) -> float:
        return self._clock.monotonic_s() - self._fetched_at_s


def _rsa_keys(document: dict[str, Any]) -> dict[str, RSAKey]:
    keys = KeySet.import_key_set({"keys": document.get("keys", [])}).keys
    return {key.kid: key for key in keys if isinstance(key, RSAKey) and key.kid}


class TokenVerifier:
    def __init__(
        self, fetch: FetchKeys, issuer: str, clock: Clock, revocations: RevocationMirror
    ) -> None:
        self._keys = SigningKeys(fetch, clock)
        self._clock = clock
        self._revocations = revocations
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
        self.limits = RequestLimits(clock)

    async def ready(self) -> None:
        """For the readiness check: the keys are known, and what was revoked.

        Raises:
            Unavailable: They are not.
        """
        await self._keys.refresh()
        self._revocations.check_age()

    async def verify(self, token: str) -> Caller:
        """Whoever `token` speaks for.

        Raises:
            InvalidToken: Whatever is wrong with it; the answer does not say what.
            Unavailable: The signing keys are not known and cannot be fetched, or nobody can tell
                whether the token was revoked.
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
        self._revocations.check(caller)
        return caller

    async def _verify_signature(self, token: str) -> Caller:
        key_id = _key_id(token)
        key = await self._keys.find(key_id)
        if key is None:
            raise InvalidToken
        try:
            decoded = jwt.decode(token, key, algorithms=[ALGORITHM])
            self._claims.validate(decoded.claims)
            return _caller(decoded.claims, key_id)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise InvalidToken from error


class RequestLimits:
    """How many requests each account may make here, by the limit in its token.

    A bucket that holds a minute's worth and fills evenly. Each process counts for itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, subject: str, per_minute: int | None, *, whose: str = "this account") -> None:
        """
        Raises:
            TooManyRequests: With the time until the next one.
        """
        if per_minute is None:
            return
        now_s, most = self._clock.monotonic_s(), per_minute
        left, since_s = self._buckets.pop(subject, (float(most), now_s))
        left = min(left + (now_s - since_s) * most / 60, most)
        allowed = left >= 1
        self._buckets[subject] = (left - 1 if allowed else left, now_s)
        if len(self._buckets) > VERIFIED_MAX:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests(
                f"{whose} may make {most} requests a minute",
                retry_after_s=math.ceil((1 - left) * 60 / most),
            )


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


def _caller(claims: dict[str, Any], key_id: str) -> Caller:
    known = {scope.value for scope in Scope}
    return Caller(
        subject=_text(claims["sub"]),
        name=_text(claims.get("name", claims["sub"])),
        scopes=frozenset(Scope(part) for part in _text(claims["scope"]).split() if part in known),
        token_id=_text(claims["jti"]),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        key_id=key_id,
        epoch=claims.get("epoch", 0),
        session_id=claims.get("sid"),
        certificate=claims["cnf"]["x5t#S256"] if "cnf" in claims else None,
        grants=_grants(claims["collections"]) if "collections" in claims else None,
        requests_per_minute=claims.get("rpm"),
        methods=claims.get("amr", ()),
        authenticated_at=claims.get("auth_time"),
    )


def grants_claim(grants: Iterable[Grant]) -> dict[str, Any]:
    """Grants as a token carries them."""
    return {
        grant.collection: [
            "".join(letter for letter, right in RIGHT_LETTERS.items() if right in grant.rights),
            int(grant.ends_at.timestamp()) if grant.ends_at else None,
        ]
        for grant in grants
    }


def _grants(claim: Mapping[str, Any]) -> dict[str, Grant]:
    return {
        name: Grant(
            collection=name,
            rights=frozenset(RIGHT_LETTERS[letter] for letter in letters),
            ends_at=None if ends_at is None else datetime.fromtimestamp(ends_at, UTC),
        )
        for name, (letters, ends_at) in claim.items()
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a claim that must be text is not")
    return value
