"""Goal: nothing but a fresh token of our issuer gets through.

Method: sign with a real key, then damage one thing at a time.
"""

import asyncio
import base64
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.support.hand_clock import HandClock

from artstore.core.errors import InvalidToken, TooManyRequests, Unavailable
from artstore.core.model.account import Right, Scope
from artstore.core.revocation import RevocationMirror
from artstore.core.tokens import KEYS_AGE_MAX_S, REFETCH_AFTER_S, RequestLimits, TokenVerifier

ISSUER = "https://127.0.0.1:8443"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "two"})


class Issuer:
    """Serves the key set; can be away."""

    def __init__(self, *keys: RSAKey) -> None:
        self.keys = list(keys)
        self.away = False
        self.fetches = 0

    async def fetch(self) -> dict[str, Any]:
        self.fetches += 1
        if self.away:
            raise Unavailable
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(KEY)


class AlwaysFresh(RevocationMirror):
    """Nobody spreads news in these tests; `test_revocation.py` is about that."""

    def check_age(self) -> None:
        pass


@pytest.fixture
def mirror(clock: HandClock) -> RevocationMirror:
    return AlwaysFresh(clock)


@pytest.fixture
def verifier(issuer: Issuer, clock: HandClock, mirror: RevocationMirror) -> TokenVerifier:
    return TokenVerifier(issuer.fetch, ISSUER, clock, mirror)


def claims(clock: HandClock, **changes: Any) -> dict[str, Any]:
    now = int(clock.now().timestamp())
    fields = {
        "iss": ISSUER,
        "aud": "artstore",
        "sub": "account:1",
        "name": "cli",
        "client_id": "cli",
        "scope": "files:read files:write made:up",
        "jti": "t-1",
        "iat": now,
        "exp": now + 1800,
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def token(payload: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    head = {"alg": "RS256", "typ": "at+jwt", "kid": "one"} | header
    return jwt.encode(
        {name: value for name, value in head.items() if value is not None},
        payload,
        key,
        algorithms=["RS256", "RS384", "PS256", "HS256"],
    )


async def test_a_good_token_tells_who_calls(verifier: TokenVerifier, clock: HandClock) -> None:
    caller = await verifier.verify(token(claims(clock)))

    assert (caller.subject, caller.name, caller.token_id) == ("account:1", "cli", "t-1")
    assert caller.scopes == {Scope.FILES_READ, Scope.FILES_WRITE}


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://elsewhere"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
        {"jti": None},
        {"jti": ["x"]},
        {"scope": None},
        {"scope": ["files:read"]},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 1e300},
        {"exp": -1},
        {"exp": 1},
        {"iat": None},
        {"iat": 99999999999},
        {"nbf": 99999999999},
    ],
    ids=str,
)
async def test_wrong_claims_are_refused(
    verifier: TokenVerifier, clock: HandClock, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(token(claims(clock, **change)))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"kid": None},
        {"kid": "../../etc/passwd"},
        {"kid": 7},
        {"alg": "RS384"},
        {"alg": "PS256"},
        {"crit": ["b64"], "b64": False},
    ],
    ids=str,
)
async def test_wrong_headers_are_refused(
    verifier: TokenVerifier, clock: HandClock, header: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(signed_by_hand(claims(clock), header))


def signed_by_hand(payload: dict[str, Any], header: dict[str, Any]) -> str:
    """A well-signed token whatever its header says: libraries refuse to make most of them."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    head = {"alg": "RS256", "typ": "at+jwt", "kid": "one"} | header
    parts = [{name: value for name, value in head.items() if value is not None}, payload]
    signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    signature = KEY.private_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{encoded(signature)}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_the_helper_of_this_file_makes_good_tokens(
    verifier: TokenVerifier, clock: HandClock
) -> None:
    assert await verifier.verify(signed_by_hand(claims(clock), {}))


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE"])
async def test_no_algorithm_is_refused(
    verifier: TokenVerifier, clock: HandClock, spelling: str
) -> None:
    head = encoded(json.dumps({"alg": spelling, "typ": "at+jwt", "kid": "one"}).encode())
    body = encoded(json.dumps(claims(clock)).encode())

    for signature in ("", encoded(b"x")):
        with pytest.raises(InvalidToken):
            await verifier.verify(f"{head}.{body}.{signature}")


async def test_the_public_key_is_no_shared_secret(
    verifier: TokenVerifier, clock: HandClock
) -> None:
    head = {"alg": "HS256", "typ": "at+jwt", "kid": "one"}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims(clock)))
    mac = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")
    forged = f"{signed}.{encoded(mac)}"

    with pytest.raises(InvalidToken):
        await verifier.verify(forged)


async def test_a_key_of_somebody_else_under_our_id_is_refused(
    verifier: TokenVerifier, clock: HandClock
) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(token(claims(clock), OTHER_KEY))


async def test_every_changed_character_is_noticed(
    verifier: TokenVerifier, clock: HandClock
) -> None:
    good = token(claims(clock))
    # The last character of a part may hold unused bits; everything before it counts.
    for position in range(0, len(good) - 1, 7):
        swapped = "A" if good[position] != "A" else "B"
        with pytest.raises(InvalidToken):
            await verifier.verify(good[:position] + swapped + good[position + 1 :])


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "..", "a" * 9000, "é.é.é", "a.b.c.d.e"])
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, text: str) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(text)


async def test_a_remembered_token_ends_too(verifier: TokenVerifier, clock: HandClock) -> None:
    good = token(claims(clock))
    await verifier.verify(good)
    clock.advance(1801)

    with pytest.raises(InvalidToken):
        await verifier.verify(good)


async def test_a_new_key_is_fetched_and_strangers_cannot_make_us_fetch(
    verifier: TokenVerifier, issuer: Issuer, clock: HandClock
) -> None:
    await verifier.verify(token(claims(clock)))
    issuer.keys.append(OTHER_KEY)
    clock.advance(REFETCH_AFTER_S + 1)
    await verifier.verify(token(claims(clock), OTHER_KEY, kid="two"))
    fetches = issuer.fetches

    for number in range(10_000):
        with pytest.raises(InvalidToken):
            await verifier.verify(unsigned(clock, kid=f"made-up-{number}"))
        clock.advance(0.01)
    assert issuer.fetches - fetches <= 100 / REFETCH_AFTER_S + 1


async def test_strangers_cannot_make_us_fetch_while_no_key_is_known(
    verifier: TokenVerifier, issuer: Issuer, clock: HandClock
) -> None:
    issuer.away = True
    for number in range(1000):
        with pytest.raises(Unavailable):
            await verifier.verify(unsigned(clock, kid=f"made-up-{number}"))
    assert issuer.fetches == 1
    issuer.away = False
    clock.advance(2)
    assert await verifier.verify(token(claims(clock)))


async def test_old_keys_are_fetched_anew_beside_the_work(
    verifier: TokenVerifier, issuer: Issuer, clock: HandClock
) -> None:
    good = token(claims(clock, jti="first"))
    await verifier.verify(good)
    issuer.keys[:] = [OTHER_KEY]
    clock.advance(KEYS_AGE_MAX_S + 1)
    assert await verifier.verify(token(claims(clock, jti="second")))
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(InvalidToken):
        await verifier.verify(token(claims(clock, jti="third")))


async def test_grants_hold_in_their_collections_until_they_end(
    verifier: TokenVerifier, clock: HandClock
) -> None:
    soon = clock.now() + timedelta(minutes=10)
    collections = {"photos": ["rw", None], "letters": ["r", int(soon.timestamp())]}
    caller = await verifier.verify(token(claims(clock, collections=collections)))

    assert caller.may(Right.WRITE, "photos", clock.now())
    assert not caller.may(Right.DELETE, "photos", clock.now())
    assert not caller.may(Right.READ, "maps", clock.now())
    assert caller.collections(Right.READ, clock.now()) == {"photos", "letters"}
    assert caller.collections(Right.READ, soon) == {"photos"}


@pytest.mark.parametrize(
    "claim",
    [
        [],
        "all",
        {"photos": "rw"},
        {"photos": ["x", None]},
        {"photos": ["", None]},
        {"../x": ["r", None]},
        {"photos": ["r", "soon"]},
    ],
    ids=str,
)
async def test_grants_that_cannot_be_read_are_refused(
    verifier: TokenVerifier, clock: HandClock, claim: Any
) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(token(claims(clock, collections=claim)))


@pytest.mark.parametrize(
    "change",
    [
        {"cnf": {}},
        {"cnf": "x"},
        {"cnf": {"x5t#S256": 7}},
        {"cnf": {"jkt": "x"}},
        {"epoch": "x"},
        {"sid": 7},
        {"rpm": "many"},
        {"amr": "pwd"},
    ],
    ids=str,
)
async def test_claims_of_our_own_are_checked_too(
    verifier: TokenVerifier, clock: HandClock, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(token(claims(clock, **change)))


def test_a_limit_lets_a_minutes_worth_through_and_fills_evenly(clock: HandClock) -> None:
    limits = RequestLimits(clock)
    for _ in range(60):
        limits.take("account:1", 60)
    with pytest.raises(TooManyRequests) as refused:
        limits.take("account:1", 60)
    assert refused.value.retry_after_s == 1
    limits.take("account:2", 60)
    limits.take("account:1", None)
    clock.advance(1)
    limits.take("account:1", 60)
    with pytest.raises(TooManyRequests):
        limits.take("account:1", 60)


def unsigned(clock: HandClock, **header: Any) -> str:
    head = {"alg": "RS256", "typ": "at+jwt", **header}
    parts = [encoded(json.dumps(part).encode()) for part in (head, claims(clock))]
    return ".".join([*parts, encoded(b"signature")])


async def test_an_outage_of_the_issuer_drops_no_key(
    verifier: TokenVerifier, issuer: Issuer, clock: HandClock
) -> None:
    await verifier.verify(token(claims(clock)))
    issuer.away = True
    clock.advance(REFETCH_AFTER_S + 1)

    with pytest.raises(InvalidToken):
        await verifier.verify(token(claims(clock), OTHER_KEY, kid="two"))
    assert await verifier.verify(token(claims(clock, jti="t-2")))


async def test_without_any_key_nobody_gets_in(
    verifier: TokenVerifier, issuer: Issuer, clock: HandClock
) -> None:
    issuer.away = True

    with pytest.raises(Unavailable):
        await verifier.verify(token(claims(clock)))
