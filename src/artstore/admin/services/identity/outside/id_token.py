"""Checks an ID token (OpenID Connect Core 1.0, 3.1.3.7). RS256 and nothing else."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError

from artstore.admin.services.identity.outside.terms import Terms
from artstore.core.clock import Clock
from artstore.core.errors import InvalidCredentials
from artstore.core.tokens import ALGORITHM, SigningKeys

TOKEN_BYTES_MAX: Final = 64 << 10
CLOCK_SKEW: Final = timedelta(seconds=30)
TEXT_CHARS_MAX: Final = 255
_TYPES: Final = (None, "JWT", "jwt")
"""An access token (`at+jwt`) or a logout token is no ID token, though the same key signs it."""

_UNREADABLE: Final = (
    JoseError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True)
class OutsideIdentity:
    """Somebody, as the provider knows them."""

    subject: str
    name: str | None
    groups: tuple[str, ...]
    methods: frozenset[str]
    """`amr` and `acr`."""
    authenticated_at: datetime


class NotAccepted(InvalidCredentials):
    """`reason` is for the operator: the answer looks as any other."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


async def read_id_token(
    token: str, keys: SigningKeys, terms: Terms, clock: Clock, *, nonce: str, not_before: datetime
) -> OutsideIdentity:
    """
    Args:
        nonce: What our request carried.
        not_before: When the person must have proven who they are, at the earliest.

    Raises:
        NotAccepted: Something about it is wrong.
        Unavailable: The provider's keys are not known and cannot be fetched.
    """
    key = await keys.find(_key_id(token))
    if key is None:
        raise NotAccepted("signed by a key that the provider does not publish")
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
        _check(claims, terms, clock, nonce)
        identity = _identity(claims, terms)
    except _UNREADABLE as error:
        raise NotAccepted(f"the ID token is not valid ({type(error).__name__})") from error
    if identity.authenticated_at < not_before - CLOCK_SKEW:
        raise NotAccepted("they proved too long ago who they are")
    return identity


def _key_id(token: str) -> str:
    if len(token) > TOKEN_BYTES_MAX or token.count(".") != 2:
        raise NotAccepted("not an ID token")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise NotAccepted("not an ID token") from error
    key_id = header.get("kid")
    if header.get("alg") != ALGORITHM or not isinstance(key_id, str):
        raise NotAccepted("the ID token is not signed with RS256 by a named key")
    if header.get("typ") not in _TYPES or "crit" in header:
        raise NotAccepted("not an ID token")
    return key_id


def _check(claims: dict[str, Any], terms: Terms, clock: Clock, nonce: str) -> None:
    """
    Raises:
        NotAccepted: Meant for somebody else, out of its time, or an answer to another request.
    """
    now = clock.now()
    if claims["iss"] != terms.issuer:
        raise NotAccepted("another issuer")
    audience = claims["aud"]
    audiences = [audience] if isinstance(audience, str) else audience
    party = claims.get("azp", terms.client_id if len(audiences) == 1 else None)
    if terms.client_id not in audiences or party != terms.client_id:
        raise NotAccepted("issued to another client")
    if _moment(claims["exp"]) <= now - CLOCK_SKEW:
        raise NotAccepted("expired")
    begins = [_moment(claims["iat"]), _moment(claims.get("nbf", 0)), _moment(claims["auth_time"])]
    if max(begins) > now + CLOCK_SKEW:
        raise NotAccepted("not valid yet")
    if not hmac.compare_digest(_text(claims["nonce"]).encode(), nonce.encode()):
        raise NotAccepted("an answer to another request")


def _identity(claims: dict[str, Any], terms: Terms) -> OutsideIdentity:
    name = claims.get("preferred_username")
    methods = [*_texts(claims.get("amr", ())), *_texts(claims.get("acr", ()))]
    return OutsideIdentity(
        subject=_text(claims["sub"]),
        # The audit log holds it, and can hold no half characters.
        name=name.encode(errors="replace").decode() if isinstance(name, str) else None,
        # Some say `null` of somebody who is in none.
        groups=_texts(claims.get(terms.groups_claim) or ()),
        methods=frozenset(methods),
        authenticated_at=_moment(claims["auth_time"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX or "\0" in value:
        raise TypeError("a claim that must be text is not")
    value.encode()  # Or raises: half a character, which JSON can spell.
    return value


def _texts(value: str | Iterable[object]) -> tuple[str, ...]:
    """Providers send one group as a text, and several as a list."""
    listed = [value] if isinstance(value, str) else list(value)
    return tuple(each for each in listed if isinstance(each, str))


def _moment(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a claim that must be a time is not")
    return datetime.fromtimestamp(value, UTC)
