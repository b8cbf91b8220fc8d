"""Sessions of people: refreshed once by each token, ended at once, safe from other sites."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.support.admin import ISSUER, Admin
from tests.support.people import AUTH, Person
from tests.support.processes import wait_until

COOKIE = "__Secure-artstore-refresh"
USERS = "/api/v1/users"


@pytest.fixture(scope="module")
def person(admin: Admin) -> Person:
    return Person.ready(admin)


@pytest.fixture
def signed_in(person: Person) -> dict[str, Any]:
    """By recovery code or password: codes come every half a minute only."""
    return person.signed_in()


def refresh(admin: Admin, token: str) -> httpx2.Response:
    with admin.client() as client:
        return client.post(f"{AUTH}/refresh", json={"refresh_token": token})


def test_a_refresh_token_is_good_once_and_its_copy_ends_the_session(
    admin: Admin, person: Person, signed_in: dict[str, Any]
) -> None:
    first = signed_in["refresh_token"]
    second = refresh(admin, first)
    assert second.status_code == 200
    access = second.json()["access_token"]
    assert person.get(f"{AUTH}/me", access).status_code == 200
    assert refresh(admin, first).status_code == 401
    # Whoever of the two was the owner: both are out, and the access token with them.
    assert refresh(admin, second.json()["refresh_token"]).status_code == 401
    wait_until(lambda: person.get(f"{AUTH}/me", access).status_code == 401, "the end", 5)


def test_a_refresh_token_used_in_parallel_is_good_once(admin: Admin) -> None:
    token = Person.ready(admin).signed_in()["refresh_token"]
    with ThreadPoolExecutor(8) as threads:
        statuses = [
            each.status_code for each in threads.map(lambda _: refresh(admin, token), range(8))
        ]
    assert statuses.count(200) == 1
    assert statuses.count(401) == 7


def test_made_up_refresh_tokens_end_nobodys_session(admin: Admin) -> None:
    person = Person.ready(admin)
    token = person.signed_in()["refresh_token"]
    session_id, number, mac = token.split(".")
    made_up = [
        f"{session_id}.{number}.{'A' * len(mac)}",
        f"{session_id}.2.{mac}",
        f"{session_id}.0.{mac}",
        f"{session_id}.-1.{mac}",
        f"{uuid4()}.{number}.{mac}",
        f"{session_id}.{number}",
        f"{session_id}.{number}.{mac}.x",
        f"{session_id}.{number}.é",
        f"{session_id}.{'9' * 100}.{mac}",
        "",
        "..",
    ]
    assert {refresh(admin, each).status_code for each in made_up} == {401}
    assert refresh(admin, token).status_code == 200


def test_signing_out_ends_the_session_at_once(admin: Admin) -> None:
    person = Person.ready(admin)
    signed_in = person.signed_in()
    access = signed_in["access_token"]
    assert person.post("logout", access).status_code == 204
    assert person.get(f"{AUTH}/me", access).status_code == 401
    assert refresh(admin, signed_in["refresh_token"]).status_code == 401


def cookie_client(admin: Admin, person: Person, **headers: str) -> tuple[httpx2.Client, str]:
    with admin.client() as client:
        answer = client.post(
            f"{AUTH}/login",
            json={
                "username": person.username,
                "password": person.password,
                "code": person.code(),
                "cookie": True,
            },
            headers=headers,
        )
    assert answer.status_code == 200, answer.text
    assert "refresh_token" not in answer.json()
    return answer, answer.headers["set-cookie"]


def test_a_browser_gets_a_cookie_that_no_script_and_no_other_site_can_use(admin: Admin) -> None:
    person = Person.ready(admin)
    _, cookie = cookie_client(admin, person)
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/api/v1/admin-auth"} <= parts
    value = cookie.split(";")[0]
    own = {"Cookie": value, "Origin": ISSUER, "X-ArtStore-Request": "1"}
    with admin.client() as client:
        # Other sites: no header of ours, another origin, or none of both.
        for foreign in (
            {"Cookie": value},
            {"Cookie": value, "Origin": ISSUER},
            {**own, "Origin": "https://evil.example"},
            {**own, "Origin": "null"},
        ):
            assert client.post(f"{AUTH}/refresh", headers=foreign).status_code == 403
        # The cookie opens nothing else, and none of these attempts used it up.
        assert client.get(f"{AUTH}/me", headers=own).status_code == 401
        assert client.post(f"{AUTH}/logout", headers=own).status_code == 401
        good = client.post(f"{AUTH}/refresh", headers=own)
        assert good.status_code == 200
        assert good.headers["set-cookie"].split(";")[0] != value


def test_a_session_that_somebody_else_chose_counts_for_nothing(admin: Admin) -> None:
    """Session fixation."""
    person = Person.ready(admin)
    planted = f"{COOKIE}={uuid4()}.1.planted"
    _, cookie = cookie_client(admin, person, Cookie=planted)
    assert planted not in cookie
    assert cookie.split(";")[0].split("=", 1)[1].split(".")[0] != planted.split("=")[1][:36]


def test_people_see_and_end_their_own_sessions_only(admin: Admin) -> None:
    one, other = Person.ready(admin), Person.ready(admin)
    mine, theirs = one.signed_in(), other.signed_in()
    listed = other.get(f"{AUTH}/sessions", theirs["access_token"]).json()["items"]
    session_id = theirs["refresh_token"].split(".")[0]
    assert session_id in {each["session_id"] for each in listed}
    assert "refresh" not in str(listed)
    with admin.client(Authorization=f"Bearer {mine['access_token']}") as client:
        assert client.delete(f"{AUTH}/sessions/{session_id}").status_code == 404
    with admin.client(Authorization=f"Bearer {theirs['access_token']}") as client:
        assert client.delete(f"{AUTH}/sessions/{session_id}").status_code == 204
    assert other.get(f"{AUTH}/me", theirs["access_token"]).status_code == 401


def test_a_suspended_person_is_out_at_once(admin: Admin) -> None:
    person = Person.ready(admin)
    signed_in = person.signed_in()
    with admin.as_account() as client:
        assert client.delete(f"{USERS}/{person.user_id}").json()["state"] == "suspended"
    assert person.get(f"{AUTH}/me", signed_in["access_token"]).status_code == 401
    assert refresh(admin, signed_in["refresh_token"]).status_code == 401
    assert person.log_in().status_code == 401


def test_a_reset_person_begins_anew(admin: Admin) -> None:
    person = Person.ready(admin)
    with admin.as_account() as client:
        made = client.post(f"{USERS}/{person.user_id}/reset").json()
    assert person.log_in().status_code == 401
    person.password = made["password"]
    assert person.log_in().json()["scope"] == "password:change"


def test_the_last_super_administrator_stays(admin: Admin) -> None:
    with admin.as_account() as client:
        everyone = client.get(USERS).json()["items"]
        supers = [
            each["user_id"]
            for each in everyone
            if each["role"] == "super_admin" and each["state"] == "active"
        ]
        for user_id in supers[1:]:
            client.delete(f"{USERS}/{user_id}")
        last = f"{USERS}/{supers[0]}"
        for answer in (client.delete(last), client.patch(last, json={"role": "admin"})):
            assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")


def test_only_super_administrators_manage_people(admin: Admin) -> None:
    plain, top = Person.ready(admin, "admin"), Person.ready(admin, "super_admin")
    body = {"username": f"x-{uuid4().hex[:8]}", "role": "super_admin"}
    for who, status in ((plain, 403), (top, 201)):
        token = who.signed_in()["access_token"]
        with admin.client(Authorization=f"Bearer {token}") as client:
            assert client.get(USERS).status_code == 200
            assert client.post(USERS, json=body).status_code == status
    with admin.as_account() as client:
        client.delete(f"{USERS}/{top.user_id}")
