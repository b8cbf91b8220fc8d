"""Goal: whatever is not a whole, fresh token of our issuer gets nobody into any module.

Method: the real admin, ingester and query; one good token, and more than sixty that are damaged
in one thing each, or signed by somebody else. All of them get the same answer.
"""

import base64
import contextlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from joserfc.jwk import RSAKey
from tests.support.admin import ISSUER, Admin, Installation, MakeDatabase
from tests.support.auditor import Auditor
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.processes import short_folder, wait_until
from tests.support.valkey import TestValkey

from artstore.core.tls import client_context

MODULES = ("admin", "ingester", "query")
NOW = int(time.time())


@dataclass
class World:
    admin: Admin
    urls: dict[str, str]

    def ask(self, module: str, authorization: str | None, peer: str = "edge") -> httpx2.Response:
        """A request that needs nothing but a good token; without one it has to be refused."""
        context = client_context(self.admin.installation.pki.files(peer))
        headers = {} if authorization is None else {"Authorization": authorization}
        with httpx2.Client(base_url=self.urls[module], verify=context, headers=headers) as client:
            match module:
                case "admin":
                    return client.get("/api/v1/revocations")
                case "ingester":
                    return client.post("/api/v1/files", content=b"x")
                case _:
                    return client.get("/api/v1/files/malformed/content")


@pytest.fixture(scope="module")
def world(make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki) -> Iterator[World]:
    with short_folder() as folder, contextlib.ExitStack() as stack:
        made = Installation(Path(folder), make_database("forged"), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        admin = stack.enter_context(made.serve())
        common = {"ADMIN_URL": admin.process.url, "ISSUER": ISSUER}
        own = {
            "DATABASE_URL": made.database.query_url,
            "DATABASE_PASSWORD_FILE": made.database.query_password_file,
        }
        ingester: ModuleProcess = stack.enter_context(module_process("ingester", pki, common))
        query = stack.enter_context(module_process("query", pki, {**common, **own}))
        urls = {"admin": admin.process.url, "ingester": ingester.url, "query": query.url}
        made_world = World(admin, urls)
        good = f"Bearer {admin.token()}"
        for module in MODULES:
            wait_until(
                lambda module=module: made_world.ask(module, good).status_code in (200, 422),
                f"{module} letting a good token in",
            )
        yield made_world


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


OURS = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def signed(head: dict[str, Any], claims: dict[str, Any], key: Any = OURS) -> str:
    text = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{encoded(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def forged(good: str, jwks: list[dict[str, Any]]) -> dict[str, str]:
    first, second, third = good.split(".")
    head, claims = decoded(first), decoded(second)
    return {
        **_without_signature(head, claims, third),
        **_damaged(first, second, third),
        **_headers(head, claims),
        **_claims(head, claims),
        **_keys(head, claims, jwks),
    }


def _without_signature(head: Any, claims: Any, signature: str) -> dict[str, str]:
    found = {}
    body = encoded(json.dumps(claims).encode())
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, "RS256 "):
        start = f"{encoded(json.dumps({**head, 'alg': algorithm}).encode())}.{body}"
        found[f"alg {algorithm!r}, no signature"] = f"{start}."
        found[f"alg {algorithm!r}, any signature"] = f"{start}.{signature}"
    return found


def _damaged(first: str, second: str, third: str) -> dict[str, str]:
    more_rights = {**decoded(second), "scope": "admin:write files:delete"}
    other_claims = encoded(json.dumps(more_rights).encode())
    raw = base64.urlsafe_b64decode(third + "==")
    return {
        "other claims under our signature": f"{first}.{other_claims}.{third}",
        "signature cut": f"{first}.{second}.{third[:-8]}",
        "signature longer": f"{first}.{second}.{third}AAAA",
        "signature of zeros": f"{first}.{second}.{encoded(bytes(len(raw)))}",
        "one bit of the signature": f"{first}.{second}.{encoded(bytes([raw[0] ^ 1]) + raw[1:])}",
        "signature missing": f"{first}.{second}.",
        "two parts": f"{first}.{second}",
        "four parts": f"{first}.{second}.{third}.",
        "five parts": f"{first}..{second}..{third}",
        "parts swapped": f"{second}.{first}.{third}",
        "padded": f"{first}=.{second}=.{third}=",
        "blank inside": f"{first}. {second}.{third}",
        "header is a list": f"{encoded(b'[]')}.{second}.{third}",
        "header is no JSON": f"{encoded(b'{')}.{second}.{third}",
        "claims are a list": f"{first}.{encoded(b'[]')}.{third}",
        "not base64": f"{first}.%%%.{third}",
        "empty": "..",
        "very long": f"{first}.{'A' * 60_000}.{third}",
    }


def _headers(head: Any, claims: Any) -> dict[str, str]:
    own = RSAKey.import_key(
        OURS.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    jwk = own.as_dict(private=False)
    changes: list[dict[str, Any]] = [
        {"jwk": jwk},
        {"jwk": jwk, "kid": own.thumbprint()},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["AAAA"]},
        {"kid": "../../../dev/null"},
        {"kid": "x' OR '1'='1"},
        {"kid": ""},
        {"kid": None},
        {"kid": 7},
        {"kid": ["a"]},
        {"kid": "k" * 5000},
        {"typ": "JWT"},
        {"typ": None},
        {"typ": "at+jwt; x"},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"alg": "RS384"},
        {"alg": "PS256"},
        {"alg": "ES256"},
        {"alg": ["RS256"]},
        {"zip": "DEF"},
    ]
    return {f"header {change}"[:80]: signed({**head, **change}, claims) for change in changes}


def _claims(head: Any, claims: Any) -> dict[str, str]:
    changes: list[dict[str, Any]] = [
        {"exp": NOW - 3600},
        {"exp": NOW * 1000},
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"aud": ["artstore", "other"]},
        {"nbf": NOW + 3600},
        {"sub": "user:00000000-0000-0000-0000-000000000000"},
        {"scope": "admin:write"},
        {"epoch": 10**9},
        {"collections": None},
        {},
    ]
    return {f"claims {change}": signed(head, {**claims, **change}) for change in changes}


def _keys(head: Any, claims: Any, jwks: list[dict[str, Any]]) -> dict[str, str]:
    """The public key as a shared secret (the classic confusion), and an elliptic one."""
    found = {}
    for name, secret in (
        ("pem", RSAKey.import_key(jwks[0]).as_pem(private=False)),
        ("jwk", json.dumps(jwks[0]).encode()),
        ("nothing", b""),
    ):
        start = ".".join(
            encoded(json.dumps(part).encode()) for part in ({**head, "alg": "HS256"}, claims)
        )
        mac = hmac.digest(secret, start.encode(), "sha256")
        found[f"HS256 with {name}"] = f"{start}.{encoded(mac)}"
    start = ".".join(
        encoded(json.dumps(part).encode()) for part in ({**head, "alg": "ES256"}, claims)
    )
    found["ES256"] = f"{start}.{encoded(CURVE.sign(start.encode(), ec.ECDSA(hashes.SHA256())))}"
    return found


@pytest.mark.parametrize("module", MODULES)
def test_forged_and_damaged_tokens_are_refused_alike(world: World, module: str) -> None:
    good = world.admin.token()
    with world.admin.client() as client:
        jwks = client.get("/.well-known/jwks.json").json()["keys"]
    tokens = forged(good, jwks)
    assert len(tokens) >= 64
    answers = {name: world.ask(module, f"Bearer {token}") for name, token in tokens.items()}
    assert {
        name: each.status_code for name, each in answers.items() if each.status_code != 401
    } == {}
    bodies = {
        tuple(sorted((k, v) for k, v in each.json().items() if k != "correlation_id"))
        for each in answers.values()
    }
    assert len(bodies) == 1
    assert len({each.headers["www-authenticate"] for each in answers.values()}) == 1
    assert world.ask(module, f"Bearer {good}").status_code in (200, 422)
    with world.admin.as_account() as client:
        # The first of an address one by one, the others as their number.
        Auditor(client).wait_for_some(
            lambda item: f"{module}/{module}-1" in item["event"]["actor"]["services"],
            kind="authorization.refused",
        )


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Basic Y2xpOng=", "Token x", "bearer\tx"]
)
def test_no_token_is_answered_as_a_bad_one(
    world: World, module: str, authorization: str | None
) -> None:
    answer = world.ask(module, authorization)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


@pytest.mark.parametrize("module", MODULES)
def test_a_bound_token_is_worth_nothing_in_other_hands(world: World, module: str) -> None:
    """RFC 8705: asked for past the edge, it is bound to the certificate that asked."""
    with world.admin.client("operator") as machine:
        answer = machine.post(
            "/api/v1/auth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": "cli",
                "client_secret": world.admin.installation.cli_secret,
            },
        )
    bound = f"Bearer {answer.json()['access_token']}"
    assert "x5t#S256" in decoded(bound.split(".")[1])["cnf"]
    assert world.ask(module, bound, peer="operator").status_code in (200, 422)
    assert world.ask(module, bound, peer="edge").status_code == 401
