"""People sign in with a password; the generated one is good for changing it only."""

import secrets
from collections.abc import Iterator

import httpx2
import psycopg
import pytest
from tests.support.admin import Admin

LOGIN = "/api/v1/admin-auth/login"
CHANGE = "/api/v1/admin-auth/change-password"
ME = "/api/v1/admin-auth/me"
GOOD = "nine lanterns over slow water"


@pytest.fixture
def http(admin: Admin) -> Iterator[httpx2.Client]:
    with admin.client() as client:
        yield client


@pytest.fixture
def one_time(admin: Admin) -> Iterator[str]:
    """The generated password of `admin`, unused."""
    password = admin.installation.admin_password
    url = admin.installation.database.url
    with psycopg.connect(url, autocommit=True) as connection:
        before = connection.execute("SELECT password_hash FROM identity.users").fetchone()
        yield password
        assert before is not None
        connection.execute(
            "UPDATE identity.users SET password_hash = %s, password_change_required = true",
            (before[0],),
        )


def log_in(http: httpx2.Client, password: str, username: str = "admin") -> httpx2.Response:
    return http.post(LOGIN, json={"username": username, "password": password})


def bearer(answer: httpx2.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def change(http: httpx2.Client, token: dict[str, str], old: str, new: str) -> httpx2.Response:
    body = {"current_password": old, "new_password": new}
    return http.post(CHANGE, json=body, headers=token)


def test_a_one_time_password_is_good_for_changing_it_only(
    http: httpx2.Client, one_time: str
) -> None:
    first = log_in(http, one_time)
    assert first.status_code == 200
    assert first.json()["scope"] == "password:change"
    token = bearer(first)
    assert http.get("/api/v1/service-accounts", headers=token).status_code == 403
    assert http.get(ME, headers=token).json()["password_change_required"] is True

    changed = change(http, token, one_time, GOOD)
    assert changed.status_code == 200, changed.text
    # The next step, since the policy wants a second factor; see `test_second_factors.py`.
    assert changed.json()["scope"] == "second-factor:set-up"
    assert http.get("/api/v1/service-accounts", headers=bearer(changed)).status_code == 403
    assert http.get(ME, headers=token).status_code == 401
    assert log_in(http, one_time).status_code == 401
    assert log_in(http, GOOD, "ADMIN").json()["scope"] == "second-factor:set-up"


def test_me_tells_who_one_is(http: httpx2.Client, one_time: str) -> None:
    me = http.get(ME, headers=bearer(log_in(http, one_time))).json()
    assert me["username"] == "admin"
    assert me["role"] == "super_admin"
    assert me["scopes"] == ["password:change"]


@pytest.mark.parametrize(
    "weak",
    [
        "short",
        "fourteen chars",
        "passwordpassword",
        "qwertyuiopasdfghjkl",
        "aaaaaaaaaaaaaaaaaaaaaaa",
        "123456789012345678",
        "the Admin with a long word",
        "x" * 300,
    ],
)
def test_weak_passwords_are_refused(http: httpx2.Client, one_time: str, weak: str) -> None:
    answer = change(http, bearer(log_in(http, one_time)), one_time, weak)
    assert answer.status_code == 422
    assert answer.json()["code"] == "weak_password"
    assert weak not in answer.text


def test_the_same_password_again_is_refused(http: httpx2.Client, one_time: str) -> None:
    answer = change(http, bearer(log_in(http, one_time)), one_time, one_time)
    assert answer.json()["code"] == "weak_password"


def test_changing_needs_the_present_password(http: httpx2.Client, one_time: str) -> None:
    answer = change(http, bearer(log_in(http, one_time)), "not the present one", GOOD)
    assert answer.status_code == 401


def test_all_refusals_look_the_same(http: httpx2.Client, one_time: str) -> None:
    answers = [log_in(http, "wrong"), log_in(http, one_time, "nobody"), log_in(http, "", "cli")]
    answers += [log_in(http, "x", "ad\0min"), log_in(http, "\0", "Кто-то")]
    bodies = {
        tuple(sorted((k, v) for k, v in answer.json().items() if k != "correlation_id"))
        for answer in answers
    }
    assert {answer.status_code for answer in answers} == {401}
    assert len(bodies) == 1
    assert all("www-authenticate" not in answer.headers for answer in answers)


def test_a_machine_is_nobody_here(admin: Admin) -> None:
    with admin.as_account() as client:
        assert client.get(ME).status_code == 403
        body = {"current_password": "x", "new_password": GOOD}
        assert client.post(CHANGE, json=body).status_code == 403


def test_without_a_token_nothing_is_told(http: httpx2.Client) -> None:
    assert http.get(ME).status_code == 401
    assert http.get(ME, headers={"Authorization": "Bearer x.y.z"}).status_code == 401


def test_a_guesser_is_slowed_down_and_the_owner_is_not(admin: Admin, one_time: str) -> None:
    with admin.client() as stranger, admin.client() as owner:
        statuses = [log_in(stranger, secrets.token_hex(8)).status_code for _ in range(8)]
        assert statuses[:5] == [401] * 5
        assert 429 in statuses[5:]
        refused = log_in(stranger, one_time)
        while refused.status_code == 401:
            refused = log_in(stranger, secrets.token_hex(8))
        assert int(refused.headers["retry-after"]) >= 1
        assert log_in(owner, one_time).status_code == 200


def test_a_service_may_not_name_somebody_elses_address(admin: Admin) -> None:
    """Only the edge is believed: otherwise each guess would come from an address of its own."""
    with admin.client("operator") as client:
        statuses = [
            client.post(
                LOGIN,
                json={"username": "spoofed", "password": "x"},
                headers={"X-Forwarded-For": f"198.51.100.{number}"},
            ).status_code
            for number in range(8)
        ]
    assert 429 in statuses


def test_the_password_is_in_no_log(admin: Admin, http: httpx2.Client, one_time: str) -> None:
    log_in(http, one_time)
    log_in(http, "a wrong password Xylophon")
    log = admin.process.log.read_text()
    assert one_time not in log
    assert "Xylophon" not in log
    assert admin.installation.cli_secret not in log


def test_spellings_of_a_name_share_their_free_attempts(http: httpx2.Client) -> None:
    names = [
        "nobody.here",
        "Nobody.here",
        "NOBODY.here",
        "noBody.here",
        "nobodY.here",
        "NobodY.here",
    ]
    statuses = [log_in(http, "a wrong password", name).status_code for name in names * 2]
    assert statuses[:5] == [401] * 5
    assert 429 in statuses[5:]
