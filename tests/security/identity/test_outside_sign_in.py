"""Signing in with a real outside identity provider: OpenBao, set up as an operator would."""

import secrets
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.support.admin import ISSUER, Admin, Installation
from tests.support.auditor import Auditor
from tests.support.openbao import OpenBaoServer
from tests.support.openbao_provider import OpenBaoProvider
from tests.support.outside import CALLBACK, OIDC, OWN, Browser
from tests.support.people import AUTH, Person
from tests.support.processes import wait_until

USERS = "/api/v1/users"


@pytest.fixture(scope="module")
def provider(openbao: OpenBaoServer) -> OpenBaoProvider:
    made = OpenBaoProvider(openbao, f"{ISSUER}{CALLBACK}")
    made.set_up()
    return made


@pytest.fixture(scope="module")
def admin(identity_installation: Installation, provider: OpenBaoProvider) -> Iterator[Admin]:
    with identity_installation.serve("admin-bao", **provider.settings) as running:
        yield running


def came_in(admin: Admin, provider: OpenBaoProvider, person: str) -> tuple[Browser, Person]:
    """Through the provider, with a second factor set up here on the way."""
    browser = Browser(admin)
    answer = browser.back(provider.authorize(browser.begin(), person))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    first = browser.finish()
    assert first.status_code == 200, first.text
    token = first.json()["access_token"]
    assert first.json()["scope"] == "second-factor:set-up"
    guest = Person(admin, "", "", "")
    guest.secret = guest.post("one-time-password", token).json()["secret"]
    done = guest.post("one-time-password/confirm", token, {"code": guest.code()})
    assert done.status_code == 200, done.text
    return browser, guest


def test_a_person_of_the_provider_comes_in_and_has_the_role_of_the_group(
    admin: Admin, provider: OpenBaoProvider
) -> None:
    maria = provider.new_person("maria", "archivists", "readers")
    browser, guest = came_in(admin, provider, maria)
    # The second time a code of the second factor is all that is asked for.
    browser.back(provider.authorize(browser.begin(), maria))
    step = browser.finish().json()
    assert step["scope"] == "second-factor:prove"
    body = {"code": guest.code(), "cookie": True}
    done = guest.post("second-factor", step["access_token"], body)
    assert done.status_code == 200, done.text
    me = guest.get(f"{AUTH}/me", done.json()["access_token"]).json()
    assert me["role"] == "admin"
    assert me["username"].startswith(f"{maria}-")
    # The same kind of session as after a password: a cookie that refreshes.
    cookie = done.headers["set-cookie"].split(";")[0]
    with admin.client(**OWN, Cookie=cookie) as client:
        assert client.post(f"{AUTH}/refresh").status_code == 200
    with admin.as_account() as client:
        listed = client.get(f"{USERS}/{me['user_id']}").json()
        assert listed["provider"] == provider.issuer
        auditor = Auditor(client)
        auditor.wait_for_some(
            lambda item: (
                item["event"]["details"].get("provider") == provider.issuer
                and item["event"]["actor"]["person"] == me["user_id"]
            ),
            kind="authentication.sign_in",
            outcome="succeeded",
        )


def test_the_request_carries_all_that_protects_it(admin: Admin, provider: OpenBaoProvider) -> None:
    browser = Browser(admin)
    wanted = dict(parse_qsl(urlsplit(browser.begin()).query))
    assert wanted["response_type"] == "code"
    assert wanted["code_challenge_method"] == "S256"
    assert wanted["redirect_uri"] == f"{ISSUER}{CALLBACK}"
    assert min(len(wanted[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    with admin.client() as client:
        cookie = client.get(OIDC).headers["set-cookie"].lower()
    for part in ("__host-artstore-oidc=", "httponly", "secure", "samesite=lax", "path=/"):
        assert part in cookie
    assert not set(wanted.values()) & set(browser.cookies.values())


def test_groups_at_the_provider_decide_anew_each_time(
    admin: Admin, provider: OpenBaoProvider
) -> None:
    olga = provider.new_person("olga", "readers")
    browser, guest = came_in(admin, provider, olga)
    browser.back(provider.authorize(browser.begin(), olga))
    step = browser.finish().json()
    signed_in = guest.post("second-factor", step["access_token"], {"code": guest.code()}).json()
    access = signed_in["access_token"]
    assert guest.get(f"{AUTH}/me", access).json()["role"] == "readonly"
    provider.put_in_groups(olga, "archivists", "readers")
    assert browser.back(provider.authorize(browser.begin(), olga)).status_code == 303
    # What she was allowed before ends, and what comes now says the new role.
    wait_until(lambda: guest.get(f"{AUTH}/me", access).status_code == 401, "the end of the token")
    provider.put_in_groups(olga)
    refused = browser.back(provider.authorize(browser.begin(), olga))
    assert (refused.status_code, refused.json()["code"]) == (403, "not_permitted")


def test_a_new_key_at_the_provider_is_followed(admin: Admin, provider: OpenBaoProvider) -> None:
    browser = Browser(admin)
    provider.write("identity/oidc/key/archive/rotate", {"verification_ttl": "1h"})
    maria = provider.new_person("maria", "readers")
    # It publishes the next key ahead, so this one is known already.
    assert browser.back(provider.authorize(browser.begin(), maria)).status_code == 303


def test_people_of_the_provider_have_no_password_here(
    admin: Admin, provider: OpenBaoProvider
) -> None:
    browser = Browser(admin)
    maria = provider.new_person("maria", "readers")
    browser.back(provider.authorize(browser.begin(), maria))
    with admin.as_account() as client:
        everybody = client.get(USERS).json()["items"]
        guest = next(each for each in everybody if each["username"].startswith(maria))
        user_id, name = guest["user_id"], guest["username"]
        assert client.post(f"{USERS}/{user_id}/reset").json()["password"] is None
    with admin.client() as client:
        for password in ("", "None", secrets.token_urlsafe(20)):
            body = {"username": name, "password": password}
            assert client.post(f"{AUTH}/login", json=body).status_code == 401


def test_somebody_local_is_never_taken_over_by_name(
    admin: Admin, provider: OpenBaoProvider
) -> None:
    maria = provider.new_person("maria", "readers")
    with admin.as_account() as client:
        made = client.post(USERS, json={"username": maria, "role": "super_admin"})
        assert made.status_code == 201, made.text
    browser = Browser(admin)
    browser.back(provider.authorize(browser.begin(), maria))
    with admin.as_account() as client:
        everybody = client.get(USERS).json()["items"]
        assert client.delete(f"{USERS}/{made.json()['user_id']}").status_code == 200
    local = [each for each in everybody if each["username"] == maria]
    assert [each["provider"] for each in local] == [None]


def test_the_local_administrator_still_gets_in(admin: Admin) -> None:
    body = {"username": "admin", "password": admin.installation.admin_password}
    with admin.client() as client:
        assert client.get(f"{AUTH}/ways").json() == {"password": True, "provider": "single sign-on"}
        answer = client.post(f"{AUTH}/login", json=body)
    assert answer.json()["scope"] == "password:change"
