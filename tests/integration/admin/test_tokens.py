"""Machines get tokens, over real mutual TLS, and every failure looks the same."""

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from tests.support.admin import ISSUER, Admin, Installation

from artstore.core.clock import SystemClock
from artstore.core.model.account import SIGN_IN_SCOPES, Scope
from artstore.core.revocation import RevocationMirror
from artstore.core.tokens import TokenVerifier

TOKEN = "/api/v1/auth/token"


@pytest.fixture
def http(admin: Admin) -> Iterator[httpx2.Client]:
    with admin.client() as client:
        yield client


@pytest.fixture
def body(installation: Installation) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": "cli",
        "client_secret": installation.cli_secret,
    }


def basic(client_id: str, secret: str) -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_form_and_json_and_basic_all_work(
    http: httpx2.Client, body: dict[str, str], installation: Installation
) -> None:
    header = {"Authorization": basic("cli", installation.cli_secret)}
    answers = [
        http.post(TOKEN, data=body),
        http.post(TOKEN, json=body),
        http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=header),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "Bearer"
        assert answer.json()["expires_in"] == 1800
        assert answer.headers["cache-control"] == "no-store"


def test_the_token_is_what_rfc_9068_says(http: httpx2.Client, body: dict[str, str]) -> None:
    answer = http.post(TOKEN, data=body).json()
    keys = KeySet.import_key_set(http.get("/.well-known/jwks.json").json())
    token = jwt.decode(answer["access_token"], keys, ["RS256"])
    assert token.header["typ"] == "at+jwt"
    claims = token.claims
    assert claims["iss"] == ISSUER
    assert claims["aud"] == "artstore"
    assert claims["client_id"] == claims["name"] == "cli"
    assert claims["sub"].startswith("account:")
    assert claims["exp"] - claims["iat"] == 1800
    assert answer["scope"] == claims["scope"]
    assert set(claims["scope"].split()) == set(Scope) - SIGN_IN_SCOPES


async def test_other_modules_accept_the_token(http: httpx2.Client, body: dict[str, str]) -> None:
    async def fetch() -> dict[str, Any]:
        keys: dict[str, Any] = http.get("/.well-known/jwks.json").json()
        return keys

    token = http.post(TOKEN, data=body).json()["access_token"]
    mirror = RevocationMirror(SystemClock())
    mirror.confirm()
    caller = await TokenVerifier(fetch, ISSUER, SystemClock(), mirror).verify(token)
    assert caller.name == "cli"
    assert Scope.FILES_DELETE in caller.scopes


def test_keys_are_public_rsa_3072(http: httpx2.Client) -> None:
    keys = http.get("/.well-known/jwks.json").json()["keys"]
    assert len(keys) >= 2  # One signs, and the next is known long before it does.
    for key in keys:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
        modulus = base64.urlsafe_b64decode(key["n"] + "==")
        assert len(modulus) * 8 == 3072


def test_two_tokens_differ(http: httpx2.Client, body: dict[str, str]) -> None:
    first, second = (http.post(TOKEN, data=body).json()["access_token"] for _ in range(2))
    assert first != second


def test_fewer_scopes_may_be_asked_for(http: httpx2.Client, body: dict[str, str]) -> None:
    answer = http.post(TOKEN, data={**body, "scope": "files:read"})
    assert answer.json()["scope"] == "files:read"


def test_scopes_beyond_the_role_are_refused(
    http: httpx2.Client, installation: Installation
) -> None:
    answer = http.post(
        TOKEN,
        data={
            "grant_type": "client_credentials",
            "client_id": "reader",
            "client_secret": installation.reader_secret,
            "scope": "files:read files:delete",
        },
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
    ],
)
def test_malformed_requests_are_400_with_the_error_of_rfc_6749(
    http: httpx2.Client, body: dict[str, str], change: dict[str, str | None], error: str
) -> None:
    fields = {key: value for key, value in {**body, **change}.items() if value is not None}
    answer = http.post(TOKEN, data=fields)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"] == error
    assert answer.json()["code"] == "invalid_token_request"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"grant_type=client_credentials&grant_type=client_credentials", None),
        (b"\xff\xfe=1", None),
        (b"&".join([b"a%d=1" % number for number in range(100)]), None),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"grant_type": 1}', "application/json"),
        (b"grant_type=client_credentials", "text/plain"),
    ],
)
def test_unreadable_bodies_are_invalid_requests(
    http: httpx2.Client, content: bytes, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type or "application/x-www-form-urlencoded"}
    answer = http.post(TOKEN, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


def test_credentials_in_two_places_are_refused(http: httpx2.Client, body: dict[str, str]) -> None:
    answer = http.post(TOKEN, data=body, headers={"Authorization": basic("cli", "x")})
    assert answer.status_code == 400


def test_a_body_beyond_the_limit_is_413(http: httpx2.Client) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert http.post(TOKEN, content=b"a" * 20_000, headers=headers).status_code == 413


def test_all_refusals_look_the_same(http: httpx2.Client, body: dict[str, str]) -> None:
    attempts = [
        {**body, "client_secret": "wrong"},
        {**body, "client_id": "nobody"},
        {**body, "client_id": "admin"},
        {**body, "client_id": "x' OR 1=1 --"},
        {**body, "client_id": "cli\0"},
        {**body, "client_id": "клиент"},
        {**body, "client_secret": "w" * 5000},
        {**body, "client_secret": "\0"},
        {"grant_type": "client_credentials"},
        {"grant_type": "client_credentials", "client_id": "cli"},
    ]
    answers = [http.post(TOKEN, data=attempt) for attempt in attempts]
    answers.append(
        http.post(TOKEN, data={"grant_type": "client_credentials"}, headers={"Authorization": "x"})
    )
    bodies = {
        tuple(sorted((k, v) for k, v in answer.json().items() if k != "correlation_id"))
        for answer in answers
    }
    assert {answer.status_code for answer in answers} == {401}
    assert len(bodies) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Basic realm="artstore"'}
    assert answers[0].json()["error"] == "invalid_client"


def test_metadata_names_the_places(http: httpx2.Client) -> None:
    metadata = http.get("/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == ISSUER
    assert metadata["token_endpoint"] == f"{ISSUER}{TOKEN}"
    assert "password:change" not in metadata["scopes_supported"]


def test_readiness_names_database_and_valkey(http: httpx2.Client) -> None:
    assert http.get("/health/ready").json()["checks"] == {"database": "ok", "valkey": "ok"}
