"""Second factors: the first sign-in leads through setting one up, and each proof counts once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.support.admin import ISSUER, Admin
from tests.support.authenticator import PRESENT, Authenticator
from tests.support.people import AUTH, Person

ACCOUNTS = "/api/v1/service-accounts"
SITE = "127.0.0.1"


@pytest.fixture(scope="module")
def person(admin: Admin) -> Person:
    return Person.ready(admin)


def test_the_first_sign_in_leads_through_setting_up(admin: Admin) -> None:
    person = Person.new(admin)
    step = person.log_in().json()
    assert step["scope"] == "second-factor:set-up"
    assert "refresh_token" not in step
    assert person.get(ACCOUNTS, step["access_token"]).status_code == 403
    signed_in = person.set_up()
    assert "admin:write" in signed_in["scope"]
    assert person.get(ACCOUNTS, signed_in["access_token"]).status_code == 200
    assert len(person.recovery_codes) == 10
    # The password alone opens nothing any more, not even this door.
    assert person.post("one-time-password", step["access_token"]).status_code in (401, 409)
    assert person.log_in().json()["scope"] == "second-factor:prove"


def test_password_and_code_in_two_steps_or_one(person: Person) -> None:
    step = person.log_in().json()
    assert person.get(ACCOUNTS, step["access_token"]).status_code == 403
    done = person.post("second-factor", step["access_token"], {"code": person.code()})
    assert done.status_code == 200, done.text
    assert person.get(ACCOUNTS, done.json()["access_token"]).status_code == 200
    assert "admin:write" in person.signed_in()["scope"]


@pytest.mark.parametrize("code", ["000000", "", "12345", "abcdef", "１２３４５６", "0" * 64, "\0"])
def test_a_wrong_code_is_a_wrong_password(person: Person, code: str) -> None:
    step = person.log_in().json()["access_token"]
    wrong = person.post("second-factor", step, {"code": code})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")


def test_a_code_counts_once_also_in_parallel(admin: Admin) -> None:
    person = Person.ready(admin)
    step, code = person.log_in().json()["access_token"], person.code()
    with ThreadPoolExecutor(8) as threads:
        tries = [
            threads.submit(person.post, "second-factor", step, {"code": code}) for _ in range(8)
        ]
    statuses = [each.result().status_code for each in tries]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 401, 429}


def test_a_recovery_code_counts_once_however_it_is_typed(person: Person) -> None:
    code = person.recovery_codes[0]
    assert person.log_in(code=f" {code.upper().replace('-', ' ')} ").status_code == 200
    assert person.log_in(code=code).status_code == 401


def test_codes_are_guessed_slowly(admin: Admin) -> None:
    person = Person.ready(admin)
    step = person.log_in().json()["access_token"]
    with admin.client(Authorization=f"Bearer {step}") as client:
        statuses = [
            client.post(f"{AUTH}/second-factor", json={"code": f"{number:06}"}).status_code
            for number in range(10)
        ]
    assert statuses[:5] == [401] * 5
    assert 429 in statuses[5:]


def enrolled(person: Person, token: str) -> Authenticator:
    device = Authenticator(ISSUER, SITE)
    challenge = person.post("passkeys/options", token).json()
    made = person.post(
        "passkeys",
        token,
        {
            "challenge_id": challenge["challenge_id"],
            "passkey": device.register(challenge["options"]),
            "name": "a key",
        },
    )
    assert made.status_code == 201, made.text
    return device


def proof(person: Person, token: str, device: Authenticator) -> dict[str, Any]:
    challenge = person.post("passkeys/challenge", token).json()
    return {
        "challenge_id": challenge["challenge_id"],
        "passkey": device.prove(challenge["options"]),
    }


def test_a_passkey_is_a_second_factor_from_the_start(admin: Admin) -> None:
    person = Person.new(admin)
    device = enrolled(person, person.log_in().json()["access_token"])
    step = person.log_in().json()
    assert step["scope"] == "second-factor:prove"
    answer = proof(person, step["access_token"], device)
    assert person.post("second-factor", step["access_token"], answer).status_code == 200
    # A challenge counts once.
    assert person.post("second-factor", step["access_token"], answer).status_code == 401


def test_a_passkey_that_is_not_as_it_should_be_is_refused(admin: Admin) -> None:
    person = Person.new(admin)
    device = enrolled(person, person.log_in().json()["access_token"])
    step = person.log_in().json()["access_token"]
    same = {"key": device.key, "credential_id": device.credential_id}
    strangers = [
        Authenticator(ISSUER, SITE),
        Authenticator("https://elsewhere.example", SITE, **same),
        Authenticator(ISSUER, "elsewhere.example", **same),
        Authenticator(ISSUER, SITE, flags=PRESENT, **same),
        Authenticator(ISSUER, SITE, credential_id=device.credential_id),
    ]
    statuses = [
        person.post("second-factor", step, proof(person, step, stranger)).status_code
        for stranger in strangers
    ]
    assert set(statuses) <= {401, 429}
    other = Person.ready(admin)
    theirs = other.post("passkeys/challenge", other.log_in().json()["access_token"]).json()
    stolen = {"challenge_id": theirs["challenge_id"], "passkey": device.prove(theirs["options"])}
    assert person.post("second-factor", step, stolen).status_code in (401, 429)


@pytest.mark.parametrize("junk", [{}, {"rawId": "x"}, {"rawId": 7}, {"rawId": "AA", "response": 1}])
def test_what_is_no_passkey_is_refused(person: Person, junk: dict[str, Any]) -> None:
    step = person.log_in().json()["access_token"]
    challenge = person.post("passkeys/challenge", step).json()
    body = {"challenge_id": challenge["challenge_id"], "passkey": junk}
    assert person.post("second-factor", step, body).status_code in (401, 429)


def test_what_is_dangerous_needs_a_fresh_proof(admin: Admin) -> None:
    """Fresh from signing in; later again by step-up."""
    person = Person.ready(admin)
    signed_in = person.signed_in()
    rotate = "/api/v1/jwt-keys/rotate"
    with admin.client(Authorization=f"Bearer {signed_in['access_token']}") as client:
        assert client.post(rotate, json={}).status_code == 409  # Allowed; too early.
    old = _aged(admin, person, signed_in, "authenticated_at")
    with admin.client(Authorization=f"Bearer {old}") as client:
        refused = client.post(rotate, json={})
        assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
        assert client.get(ACCOUNTS).status_code == 200
        fresh = client.post(f"{AUTH}/step-up", json={"code": person.code()})
        assert fresh.status_code == 200, fresh.text
    with admin.client(Authorization=f"Bearer {fresh.json()['access_token']}") as client:
        assert client.post(rotate, json={}).status_code == 409


def test_a_token_for_setting_up_is_worth_nothing_once_there_is_a_factor(admin: Admin) -> None:
    """Whoever knew the password before its owner set a factor up holds such a token too."""
    person = Person.new(admin)
    stale = person.log_in().json()["access_token"]
    person.set_up()
    for path in ("one-time-password", "recovery-codes", "passkeys/options"):
        assert person.post(path, stale).status_code == 401, path
    with admin.client(Authorization=f"Bearer {stale}") as client:
        assert client.delete(f"{AUTH}/one-time-password").status_code == 401
        assert client.delete(f"{AUTH}/passkeys/00").status_code == 401
    assert person.log_in().json()["scope"] == "second-factor:prove"


def test_a_password_alone_makes_no_session_fresh(admin: Admin) -> None:
    """Or a stolen token and a password would do in place of a second factor."""
    person = Person.ready(admin)
    old = _aged(admin, person, person.signed_in(), "authenticated_at")
    body = {"current_password": person.password, "new_password": "seven otters below the mill"}
    changed = person.post("change-password", old, body)
    assert changed.status_code == 200, changed.text
    with admin.client(Authorization=f"Bearer {changed.json()['access_token']}") as client:
        refused = client.post("/api/v1/jwt-keys/rotate", json={})
    assert (refused.status_code, refused.json().get("code")) == (403, "step_up_required")


def test_a_proof_does_not_prolong_a_session(admin: Admin) -> None:
    person = Person.ready(admin)
    token = person.signed_in()["access_token"]
    _set_back(admin, person, "ends_at")
    assert person.post("step-up", token, {"code": person.code()}).status_code == 401


def _aged(admin: Admin, person: Person, signed_in: dict[str, Any], column: str) -> str:
    """An access token of a session of which `column` is an hour ago."""
    _set_back(admin, person, column)
    body = {"refresh_token": signed_in["refresh_token"]}
    with admin.client() as client:
        return str(client.post(f"{AUTH}/refresh", json=body).json()["access_token"])


def _set_back(admin: Admin, person: Person, column: str) -> None:
    statement = sql.SQL(
        "UPDATE identity.sessions SET {} = now() - interval '1 hour' WHERE user_id = %s"
    ).format(sql.Identifier(column))
    with psycopg.connect(admin.installation.database.url, autocommit=True) as connection:
        connection.execute(statement, (person.user_id,))
