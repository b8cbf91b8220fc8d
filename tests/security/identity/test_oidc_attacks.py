"""Goal: whoever the agreed provider did not just vouch for, in this browser, does not get in.

Method: a provider that can be bent, honest in everything but one thing. Each attack has the one
answer for all, begins no session, and is in the audit log with its reason.
"""

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from joserfc import jws
from joserfc.jwk import RSAKey
from tests.support.admin import Admin, Installation
from tests.support.auditor import Auditor
from tests.support.bent_provider import CLIENT_ID, BentProvider, Claims, new_key, settings_of
from tests.support.outside import OIDC, OWN, Browser
from tests.support.people import AUTH

from artstore.core.private_files import write_private

OTHER_KEY = new_key("other")
NOW = int(time.time())


@pytest.fixture(scope="module")
def admin(identity_installation: Installation, bent: BentProvider) -> Iterator[Admin]:
    secret_file = identity_installation.folder / "oidc-client-secret"
    write_private(secret_file, bent.client_secret)
    settings = settings_of(bent, secret_file, identity_installation.pki.ca_file)
    with identity_installation.serve("admin-bent", **settings) as running:
        yield running


@pytest.fixture
def provider(bent: BentProvider) -> Iterator[BentProvider]:
    yield bent
    bent.straighten()


@pytest.fixture
def browser(admin: Admin) -> Browser:
    return Browser(admin)


def with_second_factor(claims: Claims) -> Claims:
    return claims | {"amr": ["pwd", "mfa"]}


def came_in(browser: Browser, provider: BentProvider, **parameters: str) -> str:
    """The access token of somebody who came the honest way."""
    provider.bend = with_second_factor
    answer = browser.back(provider.authorize(browser.begin(**parameters)))
    assert answer.status_code == 303, answer.text
    done = browser.finish()
    assert done.status_code == 200, done.text
    return str(done.json()["access_token"])


def refused(admin: Admin, browser: Browser, answer: httpx2.Response, reason: str) -> None:
    """Alike for all, without a session, and written down."""
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert answer.json()["detail"] == "The credentials are not valid"
    assert "__Host-artstore-arrival" not in browser.cookies
    assert browser.finish().status_code == 401
    with admin.as_account() as client:
        Auditor(client).wait_for_some(
            lambda item: reason in item["event"]["details"].get("reason", ""),
            kind="authentication.sign_in",
            outcome="refused",
        )


def test_the_honest_way_leads_in(admin: Admin, browser: Browser, provider: BentProvider) -> None:
    """Without it, everything below would prove nothing."""
    token = came_in(browser, provider)
    with admin.client(Authorization=f"Bearer {token}") as client:
        me = client.get(f"{AUTH}/me").json()
    assert me["role"] == "admin"
    assert me["username"].startswith("maria-")


CLAIMS: dict[str, tuple[Claims, str]] = {
    "another issuer": ({"iss": "https://evil.example"}, "another issuer"),
    "issuer with a slash more": ({"iss": "{url}/"}, "another issuer"),
    "another client": ({"aud": "other"}, "another client"),
    "also for another client": ({"aud": [CLIENT_ID, "other"]}, "another client"),
    "made for another party": (
        {"aud": [CLIENT_ID, "other"], "azp": "other"},
        "another client",
    ),
    "no audience": ({"aud": []}, "another client"),
    "expired": ({"exp": NOW - 3600}, "expired"),
    "not valid yet": ({"nbf": NOW + 3600}, "not valid yet"),
    "made tomorrow": ({"iat": NOW + 86_400}, "not valid yet"),
    "another nonce": ({"nonce": "replayed"}, "another request"),
    "no nonce": ({"nonce": None}, "not valid"),
    "signed in last week": ({"auth_time": NOW - 7 * 86_400}, "too long ago"),
    "never signed in": ({"auth_time": None}, "not valid"),
    "nobody": ({"sub": ""}, "not valid"),
    "a number as subject": ({"sub": 7}, "not valid"),
    "a subject without end": ({"sub": "s" * 5000}, "not valid"),
    "NUL in the subject": ({"sub": "a\0b"}, "not valid"),
    "signs in tomorrow": ({"auth_time": NOW + 86_400}, "not valid yet"),
    "a number of groups": ({"groups": 7}, "not valid"),
    "an endless life": ({"exp": 10**30}, "not valid"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_an_id_token_that_says_the_wrong_thing(
    admin: Admin, browser: Browser, provider: BentProvider, name: str
) -> None:
    changes, reason = CLAIMS[name]
    told = {
        key: value.replace("{url}", provider.url) if isinstance(value, str) else value
        for key, value in changes.items()
    }
    provider.bend = lambda claims: claims | told
    answer = browser.back(provider.authorize(browser.begin()))
    refused(admin, browser, answer, reason)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(provider: BentProvider, claims: Claims, alg: str = "none") -> str:
    head = {"alg": alg, "typ": "JWT", "kid": provider.key.kid}
    return ".".join(encoded(json.dumps(part).encode()) for part in (head, claims)) + "."


def with_shared_secret(provider: BentProvider, claims: Claims, secret: bytes) -> str:
    start = unsigned(provider, claims, "HS256")[:-1]
    return f"{start}.{encoded(hmac.digest(secret, start.encode(), 'sha256'))}"


def public_pem(provider: BentProvider) -> bytes:
    return bytes(RSAKey.import_key(provider.key.as_dict(private=False)).as_pem(private=False))


def signed_text(provider: BentProvider, claims: str) -> str:
    """Also what `jwt.encode` would not sign."""
    head = {"alg": "RS256", "kid": provider.key.kid}
    return jws.serialize_compact(head, claims.encode(), provider.key)


MakeToken = Callable[[BentProvider, Claims], str]
TOKENS: dict[str, tuple[MakeToken, str]] = {
    "alg none": (unsigned, "not signed with RS256"),
    "alg None": (lambda p, c: unsigned(p, c, "None"), "not signed with RS256"),
    "HS256 with the public key": (
        lambda p, c: with_shared_secret(p, c, public_pem(p)),
        "not signed with RS256",
    ),
    "HS256 with the client secret": (
        lambda p, c: with_shared_secret(p, c, p.client_secret.encode()),
        "not signed with RS256",
    ),
    "RS384": (lambda p, c: p.signed(c, alg="RS384"), "not signed with RS256"),
    "a key of somebody else": (
        lambda p, c: p.signed(c, OTHER_KEY, kid=p.key.kid),
        "not valid",
    ),
    "a key nobody published": (lambda p, c: p.signed(c, OTHER_KEY), "does not publish"),
    "a key in the header": (
        lambda p, c: p.signed(c, OTHER_KEY, jwk=OTHER_KEY.as_dict(private=False)),
        "does not publish",
    ),
    "no key id": (lambda p, c: p.signed(c, kid=""), "does not publish"),
    "an access token": (lambda p, c: p.signed(c, typ="at+jwt"), "not an ID token"),
    "a logout token": (lambda p, c: p.signed(c, typ="logout+jwt"), "not an ID token"),
    "one bit of the claims": (
        lambda p, c: p.signed(c).replace(".", ".A", 1),
        "not valid",
    ),
    "nothing": (lambda _p, _c: "", "not an ID token"),
    "two parts": (lambda p, c: p.signed(c).rpartition(".")[0], "not an ID token"),
    "half a character as subject": (
        lambda p, c: signed_text(p, json.dumps(c | {"sub": "a\ud800"})),
        "not valid",
    ),
    "claims without a floor": (
        lambda p, _c: signed_text(p, '{"a":' * 7000 + "1" + "}" * 7000),
        "not valid",
    ),
    "a megabyte": (lambda p, c: p.signed(c | {"x": "x" * 200_000}), "not an ID token"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_an_id_token_that_the_provider_did_not_sign(
    admin: Admin, browser: Browser, provider: BentProvider, name: str
) -> None:
    provider.make_token, reason = TOKENS[name]
    answer = browser.back(provider.authorize(browser.begin()))
    refused(admin, browser, answer, reason)


def test_the_answer_of_another_provider(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    """Mix-up (RFC 9207): the answer names its issuer, and one that promised to do so must."""
    back = provider.authorize(browser.begin())
    refused(admin, browser, browser.back(back | {"iss": "https://evil.example"}), "another issuer")
    back = provider.authorize(browser.begin())
    del back["iss"]
    refused(admin, browser, browser.back(back), "another issuer")


def test_a_state_of_another_request(admin: Admin, browser: Browser, provider: BentProvider) -> None:
    back = provider.authorize(browser.begin())
    for state in ("", "made-up", "é", back["state"][:-1]):
        refused(admin, browser, browser.back(back | {"state": state}), "another request")
    none = {name: value for name, value in back.items() if name != "state"}
    refused(admin, browser, browser.back(none), "another request")


def test_a_code_that_another_browser_fetched(admin: Admin, provider: BentProvider) -> None:
    """CSRF on the callback: the victim would work in the attacker's account."""
    attacker, victim = Browser(admin), Browser(admin)
    planted = provider.authorize(attacker.begin())
    refused(admin, victim, victim.back(planted), "no ticket of ours")
    victim.begin()
    refused(admin, victim, victim.back(planted), "another request")


def test_a_code_stolen_from_another_browser(admin: Admin, provider: BentProvider) -> None:
    """Its own state, somebody else's code: the verifier of the request does not fit (PKCE)."""
    provider.bend = with_second_factor
    victim, attacker = Browser(admin), Browser(admin)
    stolen = provider.authorize(victim.begin())["code"]
    own = provider.authorize(attacker.begin())
    answer = attacker.back(own | {"code": stolen})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    # Even at a provider that does not look at the verifier the nonce tells them apart.
    provider.checks_pkce = False
    stolen = provider.authorize(victim.begin())["code"]
    own = provider.authorize(attacker.begin())
    refused(admin, attacker, attacker.back(own | {"code": stolen}), "another request")


def test_a_request_without_its_challenge(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    """PKCE downgrade: somebody on the way removed the challenge; our verifier is sent all the
    same, and an honest provider refuses it."""
    answer = browser.back(provider.authorize(browser.begin(), code_challenge=""))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert browser.finish().status_code == 401


def test_a_redirection_to_elsewhere(browser: Browser, provider: BentProvider) -> None:
    elsewhere = "https://evil.example/api/v1/admin-auth/oidc/callback"
    answer = browser.back(provider.authorize(browser.begin(), redirect_uri=elsewhere))
    assert answer.status_code == 401
    # Nothing that a caller sends chooses where anybody is sent.
    for name in ("redirect_uri", "return_to", "next"):
        assert "evil" not in browser.begin(**{name: elsewhere})


def test_a_code_is_good_once(admin: Admin, browser: Browser, provider: BentProvider) -> None:
    location = browser.begin()
    back, cookies = provider.authorize(location), dict(browser.cookies)
    assert browser.back(back).status_code == 303
    replay = Browser(admin, cookies)
    refused(admin, replay, replay.back(back), "used before")
    # The same state with a new code is the same request again.
    refused(admin, replay, replay.back(provider.authorize(location)), "used before")


def test_an_answer_that_comes_eight_times_at_once_counts_once(
    admin: Admin, provider: BentProvider
) -> None:
    provider.bend = with_second_factor
    browser = Browser(admin)
    back, cookies = provider.authorize(browser.begin()), dict(browser.cookies)
    gate = threading.Barrier(8)

    def answer(_: int) -> int:
        one = Browser(admin, dict(cookies))
        gate.wait()
        return one.back(back).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(answer, range(8)))
    assert statuses.count(303) == 1
    assert set(statuses) == {303, 401}


def test_parameters_that_come_twice(admin: Admin, browser: Browser, provider: BentProvider) -> None:
    back = provider.authorize(browser.begin())
    query = "&".join(f"{name}={value}" for name, value in [*back.items(), ("code", "x")])
    refused(admin, browser, browser.ask("GET", f"{OIDC}/callback?{query}"), "another request")


def test_a_refusal_of_the_provider(admin: Admin, browser: Browser, provider: BentProvider) -> None:
    back = provider.authorize(browser.begin()) | {"error": "access_denied"}
    refused(admin, browser, browser.back(back), "the provider refused")


def test_a_ticket_that_somebody_made_or_changed(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    back = provider.authorize(browser.begin())
    good = browser.cookies["__Host-artstore-oidc"]
    for made_up in ("", "AAAA", "é", good[:-4] + "AAAA", good[4:], "A" * 5000):
        browser.cookies["__Host-artstore-oidc"] = made_up or "-"
        refused(admin, browser, browser.back(back), "no ticket of ours")


def test_arriving_is_good_once_and_for_our_own_pages_only(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    provider.bend = with_second_factor
    browser.back(provider.authorize(browser.begin()))
    cookies = dict(browser.cookies)
    for foreign in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert browser.finish(**foreign).status_code == 403
    del_own = {"Origin": OWN["Origin"]}
    assert browser.ask("POST", f"{OIDC}/finish", headers=del_own).status_code == 403
    assert browser.finish().status_code == 200
    assert Browser(admin, cookies).finish().status_code == 401


def test_a_ticket_of_one_step_is_none_of_another(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    browser.begin()
    request = browser.cookies["__Host-artstore-oidc"]
    other = Browser(admin, {"__Host-artstore-arrival": request})
    assert other.finish().status_code == 401


def test_a_session_that_somebody_planted_is_not_used(
    browser: Browser, provider: BentProvider
) -> None:
    """Session fixation."""
    planted = "11111111-1111-4111-8111-111111111111.1.planted"
    browser.cookies["__Secure-artstore-refresh"] = planted
    came_in(browser, provider)
    assert (
        browser.cookies["__Secure-artstore-refresh"].split(".")[0]
        != planted.split(".", maxsplit=1)[0]
    )


def test_a_fresh_proof_is_not_an_old_one(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    """Step-up of those without a second factor here: the provider has to ask them anew."""
    location = browser.begin(fresh="true")
    assert "max_age=0" in location
    assert "prompt=login" in location
    provider.bend = lambda claims: with_second_factor(claims) | {"auth_time": NOW - 3600}
    refused(admin, browser, browser.back(provider.authorize(location)), "too long ago")
    token = came_in(browser, provider, fresh="true")
    body = {"kind": "token", "value": "x", "reason": "test"}
    with admin.client(Authorization=f"Bearer {token}") as client:
        assert client.post("/api/v1/revocations", json=body).status_code < 300


def test_an_old_proof_does_not_allow_what_is_dangerous(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    provider.bend = lambda claims: (
        with_second_factor(claims) | {"auth_time": int(time.time()) - 3600}
    )
    browser.back(provider.authorize(browser.begin()))
    token = browser.finish().json()["access_token"]
    body = {"kind": "token", "value": "x", "reason": "test"}
    with admin.client(Authorization=f"Bearer {token}") as client:
        answer = client.post("/api/v1/revocations", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "step_up_required")


def test_without_a_trusted_second_factor_one_is_needed_here(
    browser: Browser, provider: BentProvider
) -> None:
    provider.bend = lambda claims: claims | {"sub": "without", "amr": ["pwd", "otp"]}
    browser.back(provider.authorize(browser.begin()))
    answer = browser.finish()
    assert answer.json()["scope"] == "second-factor:set-up"
    assert "__Secure-artstore-refresh" not in browser.cookies


def test_somebody_suspended_here_stays_out(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    def bend(claims: Claims) -> Claims:
        return with_second_factor(claims) | {"sub": "suspended-one"}

    provider.bend = bend
    browser.back(provider.authorize(browser.begin()))
    token = browser.finish().json()["access_token"]
    with admin.client(Authorization=f"Bearer {token}") as client:
        user_id = client.get(f"{AUTH}/me").json()["user_id"]
    with admin.as_account() as client:
        assert client.delete(f"/api/v1/users/{user_id}").status_code == 200
    refused(admin, browser, browser.back(provider.authorize(browser.begin())), "suspended")


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "n" * 20_000, ["a"], "\u202ea\r\nb"])
@pytest.mark.parametrize("groups", [["archivists", {"a": 1}, None, 7, "\ud800"], "archivists"])
def test_strange_names_and_groups_do_not_lock_out(
    browser: Browser, provider: BentProvider, name: object, groups: object
) -> None:
    strange = {"sub": f"s-{time.time_ns()}", "preferred_username": name, "groups": groups}
    provider.make_token = lambda made, claims: signed_text(
        made, json.dumps(with_second_factor(claims) | strange)
    )
    answer = browser.back(provider.authorize(browser.begin()))
    assert answer.status_code == 303, answer.text
    assert browser.finish().status_code == 200


def test_the_same_mail_and_name_are_somebody_else(admin: Admin, provider: BentProvider) -> None:
    """Only issuer and subject say who it is: addresses and names can be given to others."""
    ids = set()
    for subject in ("first", "second"):
        provider.bend = lambda claims, subject=subject: (
            with_second_factor(claims)
            | {  # type: ignore[misc]
                "sub": subject,
                "email": "boss@archive.example",
                "email_verified": True,
                "preferred_username": "boss",
            }
        )
        browser = Browser(admin)
        browser.back(provider.authorize(browser.begin()))
        token = browser.finish().json()["access_token"]
        with admin.client(Authorization=f"Bearer {token}") as client:
            ids.add(client.get(f"{AUTH}/me").json()["user_id"])
    assert len(ids) == 2


def test_made_up_key_ids_do_not_make_us_ask_the_provider(
    admin: Admin, browser: Browser, provider: BentProvider
) -> None:
    came_in(browser, provider)
    before = provider.key_fetches
    provider.make_token = lambda p, c: p.signed(c, OTHER_KEY)
    for _ in range(5):
        assert browser.back(provider.authorize(browser.begin())).status_code == 401
    assert provider.key_fetches - before <= 1


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"{}"),
        (200, b"not json"),
        (200, b"[]"),
        (200, b'{"access_token": "x"}'),
        (302, b"{}"),
        (200, b"[" * 100_000),
        (200, b'"' + b"x" * (2 << 20) + b'"'),
    ],
    ids=["500", "no json", "a list", "no id token", "redirect", "deep", "large"],
)
def test_nonsense_of_the_provider_lets_nobody_in(
    browser: Browser, provider: BentProvider, answer: tuple[int, bytes]
) -> None:
    back = provider.authorize(browser.begin())
    provider.token_answer = answer
    got: Any = browser.back(back)
    assert got.status_code in (401, 503), got.text
    assert browser.finish().status_code == 401


def test_guessing_is_slowed_down(admin: Admin, provider: BentProvider) -> None:
    browser = Browser(admin)
    statuses = set()
    with admin.client() as client:
        for _ in range(20):
            answer = client.get(f"{OIDC}/callback", params={"code": "x", "state": "x"})
            statuses.add(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
    assert 429 in statuses
    # Strangers elsewhere slow nobody down.
    came_in(browser, provider)
