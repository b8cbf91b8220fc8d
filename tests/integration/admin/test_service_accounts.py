"""Service accounts over HTTP."""

from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from uuid import uuid4

import httpx2
import pytest
from tests.support.admin import Admin
from tests.support.processes import wait_until

PATH = "/api/v1/service-accounts"


def new_name() -> str:
    return f"scanner-{uuid4().hex[:8]}"


def test_a_new_account_gets_a_secret_once(admin: Admin) -> None:
    name = new_name()
    with admin.as_account() as client:
        made = client.post(PATH, json={"client_id": name, "role": "user"})
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        secret = made.json()["client_secret"]
        assert len(secret) >= 43
        read = client.get(f"{PATH}/{name}").json()
    assert secret not in str(read)
    assert "hash" not in str(read)
    assert read["role"] == "user"
    with admin.as_account(name, secret) as client:
        assert client.get(PATH).status_code == 403


def test_a_name_is_given_once(admin: Admin) -> None:
    with admin.as_account() as client:
        answer = client.post(PATH, json={"client_id": "cli", "role": "user"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


@pytest.mark.parametrize(
    "body",
    [
        {"client_id": "UPPER", "role": "user"},
        {"client_id": "a/b", "role": "user"},
        {"client_id": "x" * 64, "role": "user"},
        {"client_id": "fine", "role": "root"},
        {"role": "user"},
    ],
)
def test_malformed_accounts_are_refused(admin: Admin, body: dict[str, str]) -> None:
    with admin.as_account() as client:
        assert client.post(PATH, json=body).status_code == 422


def test_a_rotated_secret_replaces_the_old_one(admin: Admin) -> None:
    name = new_name()
    with admin.as_account() as client:
        old = client.post(PATH, json={"client_id": name, "role": "user"}).json()["client_secret"]
        admin.token(name, old)
        new = client.post(f"{PATH}/{name}/rotate-secret").json()["client_secret"]
    admin.token(name, new)
    with admin.client() as client:
        assert token_status(client, name, old) == 401


def token_status(client: object, name: str, secret: str) -> int:
    body = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
    status: int = client.post("/api/v1/auth/token", data=body).status_code  # type: ignore[attr-defined]
    return status


def test_a_secret_that_the_caller_chose_may_be_sent_twice(admin: Admin) -> None:
    name, chosen = new_name(), token_urlsafe(32)
    body = {"overlap_s": 3600, "secret": chosen}
    with admin.as_account() as client, admin.client() as stranger:
        old = client.post(PATH, json={"client_id": name, "role": "user"}).json()["client_secret"]
        for _ in range(2):
            answer = client.post(f"{PATH}/{name}/rotate-secret", json=body)
            assert answer.json()["client_secret"] == chosen
            assert [token_status(stranger, name, each) for each in (old, chosen)] == [200, 200]
        client.post(f"{PATH}/{name}/rotate-secret", json=body | {"overlap_s": 0})
        assert [token_status(stranger, name, each) for each in (old, chosen)] == [401, 200]


def test_a_weak_secret_is_refused_and_not_repeated(admin: Admin) -> None:
    weak = "password" * 5
    with admin.as_account() as client:
        answer = client.post(f"{PATH}/cli/rotate-secret", json={"secret": weak})
    assert (answer.status_code, answer.json()["field"]) == (422, "secret")
    assert weak not in answer.text


def test_a_rotation_is_in_the_audit_log_and_an_age_in_the_metrics(admin: Admin) -> None:
    body = {"name": "database-admin", "kind": "postgresql", "changed_at": "2026-11-26T00:00:00Z"}
    with admin.as_account() as client:
        assert client.post("/api/v1/credentials/report", json=body).status_code == 204
        done = body | {"rotation_began_at": "2026-11-25T23:59:00Z"}
        assert client.post("/api/v1/credentials/report", json=done).status_code == 204
        metrics = client.get("/metrics").text
    line = 'artstore_secret_changed_timestamp_seconds{secret="database-admin"}'
    assert line in metrics
    with admin.as_account("reader", admin.installation.reader_secret) as reader:
        assert reader.post("/api/v1/credentials/report", json=body).status_code == 403
    with admin.as_account() as client:
        wait_until(lambda: _rotations_told(client) == ["database-admin"], "it being in the log")


def _rotations_told(client: httpx2.Client) -> list[str]:
    page = client.get("/api/v1/audit/events", params={"kind": "secret.changed", "limit": 1000})
    targets = [item["event"]["target"] for item in page.json()["items"]]
    # A refused change of a password has no target.
    return [target["id"] for target in targets if target and target["type"] == "credential"]


def test_a_suspended_account_gets_no_token_until_it_is_resumed(admin: Admin) -> None:
    name = new_name()
    with admin.as_account() as client:
        secret = client.post(PATH, json={"client_id": name, "role": "user"}).json()["client_secret"]
        admin.token(name, secret)
        assert client.delete(f"{PATH}/{name}").json()["state"] == "suspended"
        assert client.delete(f"{PATH}/{name}").status_code == 200
        with admin.client() as stranger:
            assert token_status(stranger, name, secret) == 401
        assert client.post(f"{PATH}/{name}/resume").json()["state"] == "active"
        admin.token(name, secret)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nobody"),
        ("DELETE", "/nobody"),
        ("POST", "/nobody/rotate-secret"),
        ("POST", "/nobody/resume"),
    ],
)
def test_unknown_accounts_are_404(admin: Admin, method: str, path: str) -> None:
    with admin.as_account() as client:
        answer = client.request(method, PATH + path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_account")


@pytest.mark.parametrize("path", ["/%00", "/UPPER", "/a%2Fb", "?cursor=%00", "?limit=0"])
def test_malformed_names_are_refused(admin: Admin, path: str) -> None:
    with admin.as_account() as client:
        answer = client.get(PATH + path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_lists_come_in_pages(admin: Admin) -> None:
    with admin.as_account() as client:
        for _ in range(3):
            client.post(PATH, json={"client_id": new_name(), "role": "readonly"})
        everyone = [item["client_id"] for item in client.get(PATH).json()["items"]]
        paged: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = client.get(PATH, params={"limit": 2, "cursor": cursor}).json()
            paged += [item["client_id"] for item in page["items"]]
            cursor = page["next_cursor"]
    assert paged == everyone == sorted(everyone)


def test_reading_and_writing_need_their_scopes(admin: Admin) -> None:
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        assert client.get(PATH).status_code == 403
        body = {"client_id": new_name(), "role": "admin"}
        answer = client.post(PATH, json=body)
    assert answer.status_code == 403
    assert answer.json()["required_scope"] == "admin:write"


def test_secrets_overlap_and_then_the_old_one_ends(admin: Admin) -> None:
    name = new_name()
    with admin.as_account() as client:
        old = client.post(PATH, json={"client_id": name, "role": "user"}).json()["client_secret"]
        rotate = f"{PATH}/{name}/rotate-secret"
        new = client.post(rotate, json={"overlap_s": 2}).json()["client_secret"]
        with admin.client() as stranger:
            assert token_status(stranger, name, new) == 200
            assert token_status(stranger, name, old) == 200
            assert token_status(stranger, name, "neither") == 401
        wait_until(lambda: refused(admin, name, old), "the end of the overlap", limit_s=20)
        with admin.client() as stranger:
            assert token_status(stranger, name, new) == 200


def refused(admin: Admin, name: str, secret: str) -> bool:
    with admin.client() as stranger:
        return token_status(stranger, name, secret) == 401


def test_an_account_ends_when_it_was_meant_to(admin: Admin) -> None:
    name = new_name()
    ends_at = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    with admin.as_account() as client:
        body = {"client_id": name, "role": "user", "expires_at": ends_at}
        secret = client.post(PATH, json=body).json()["client_secret"]
    wait_until(lambda: refused(admin, name, secret), "the end of the account", limit_s=20)


def test_the_last_use_is_shown(admin: Admin) -> None:
    name = new_name()
    with admin.as_account() as client:
        secret = client.post(PATH, json={"client_id": name, "role": "user"}).json()["client_secret"]
        assert client.get(f"{PATH}/{name}").json()["last_used_at"] is None
        admin.token(name, secret)
        assert client.get(f"{PATH}/{name}").json()["last_used_at"] is not None


def test_an_account_has_its_limit(admin: Admin) -> None:
    name = new_name()
    with admin.as_account() as client:
        body = {"client_id": name, "role": "admin", "requests_per_minute": 3}
        secret = client.post(PATH, json=body).json()["client_secret"]
    with admin.as_account(name, secret) as limited:
        answers = [limited.get(PATH) for _ in range(6)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_end_that_nothing_could_read_back_is_refused(admin: Admin, moment: str) -> None:
    """Such a row would take the list of accounts, and the rotation of the signing keys, with it."""
    with admin.as_account() as client:
        body = {"client_id": new_name(), "role": "user", "expires_at": moment}
        refused = client.post(PATH, json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, "expires_at")
        assert client.get(PATH).status_code == 200
