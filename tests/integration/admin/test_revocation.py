"""Revocation over HTTP: who may, what ends, and that it ends at once."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import redis
from joserfc import jws
from tests.support.admin import Admin
from tests.support.processes import wait_until
from tests.support.valkey import running_server

from artstore.core.revocation_sources import FIELD, HEAD, STREAM

PATH = "/api/v1/service-accounts"
REVOCATIONS = "/api/v1/revocations"


@pytest.fixture
def account(admin: Admin) -> dict[str, Any]:
    name = f"machine-{uuid4().hex[:8]}"
    with admin.as_account() as client:
        made = client.post(PATH, json={"client_id": name, "role": "admin"})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


def token_of(admin: Admin, account: dict[str, Any]) -> str:
    return admin.token(account["client_id"], account["client_secret"])


def status(admin: Admin, token: str) -> int:
    with admin.client(Authorization=f"Bearer {token}") as client:
        return client.get(PATH).status_code


def ask(admin: Admin, account: dict[str, Any], what: str, token: str) -> httpx2.Response:
    with admin.client() as client:
        return client.post(
            f"/api/v1/auth/{what}",
            data={
                "client_id": account["client_id"],
                "client_secret": account["client_secret"],
                "token": token,
            },
        )


def claims(token: str) -> dict[str, Any]:
    return dict(json.loads(jws.extract_compact(token.encode()).payload))


def revoke(admin: Admin, **order: Any) -> httpx2.Response:
    with admin.as_account() as client:
        return client.post(REVOCATIONS, json={"reason": "a test", **order})


def test_a_client_gives_its_token_back(admin: Admin, account: dict[str, Any]) -> None:
    token, other = token_of(admin, account), token_of(admin, account)
    assert status(admin, token) == 200
    assert ask(admin, account, "revoke", token).status_code == 200
    assert status(admin, token) == 401
    assert status(admin, other) == 200
    # What is worth nothing already is no failure (RFC 7009, 2.2).
    assert ask(admin, account, "revoke", token).status_code == 200
    assert ask(admin, account, "revoke", "no.such.token").status_code == 200


def test_nobody_revokes_what_is_somebody_elses(admin: Admin, account: dict[str, Any]) -> None:
    token = admin.token()
    answer = ask(admin, account, "revoke", token)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert status(admin, token) == 200


@pytest.mark.parametrize("what", ["revoke", "introspect"])
def test_whoever_asks_must_prove_who_they_are(
    admin: Admin, account: dict[str, Any], what: str
) -> None:
    token = token_of(admin, account)
    wrong = ask(admin, {**account, "client_secret": "wrong"}, what, token)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert ask(admin, account, what, "").status_code == 400
    assert status(admin, token) == 200


def test_introspection_tells_what_a_token_is_good_for(
    admin: Admin, account: dict[str, Any]
) -> None:
    token = token_of(admin, account)
    told = ask(admin, account, "introspect", token).json()
    assert told["active"] is True
    assert told["client_id"] == account["client_id"]
    assert told["jti"] == claims(token)["jti"]
    assert "files:read" in told["scope"].split()
    ask(admin, account, "revoke", token)
    assert ask(admin, account, "introspect", token).json() == {"active": False}


def test_introspection_shows_others_tokens_only_to_who_may_look(admin: Admin) -> None:
    with admin.as_account() as client:
        name = f"user-{uuid4().hex[:8]}"
        user = client.post(PATH, json={"client_id": name, "role": "user"}).json()
    assert ask(admin, user, "introspect", admin.token()).json() == {"active": False}


def test_a_token_by_its_id(admin: Admin, account: dict[str, Any]) -> None:
    token, other = token_of(admin, account), token_of(admin, account)
    assert revoke(admin, kind="token", value=claims(token)["jti"]).status_code == 204
    assert status(admin, token) == 401
    assert status(admin, other) == 200


def test_all_tokens_of_an_account(admin: Admin, account: dict[str, Any]) -> None:
    token = token_of(admin, account)
    subject = f"account:{account['account_id']}"
    assert revoke(admin, kind="account", value=subject).status_code == 204
    assert status(admin, token) == 401
    assert status(admin, token_of(admin, account)) == 200
    assert status(admin, admin.token()) == 200


def test_a_suspended_account_loses_its_tokens_at_once(
    admin: Admin, account: dict[str, Any]
) -> None:
    token = token_of(admin, account)
    path = f"{PATH}/{account['client_id']}"
    with admin.as_account() as client:
        assert client.delete(path).status_code == 200
        assert status(admin, token) == 401
        assert client.post(f"{path}/resume").status_code == 200
    assert status(admin, token) == 401
    assert status(admin, token_of(admin, account)) == 200


@pytest.mark.parametrize("change", [{"role": "readonly"}, {"restricted": True}])
def test_a_changed_account_needs_a_new_token(
    admin: Admin, account: dict[str, Any], change: dict[str, Any]
) -> None:
    token = token_of(admin, account)
    with admin.as_account() as client:
        changed = client.patch(f"{PATH}/{account['client_id']}", json=change)
    assert changed.status_code == 200, changed.text
    assert status(admin, token) == 401


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "token"},
        {"kind": "everything", "value": "x"},
        {"kind": "account", "value": "nobody"},
        {"kind": "everything", "issued_before": "2999-01-01T00:00:00Z"},
        {"kind": "key", "value": "x"},
        {"kind": "token", "value": "x", "reason": ""},
    ],
    ids=str,
)
def test_malformed_orders_are_refused(admin: Admin, order: dict[str, Any]) -> None:
    assert revoke(admin, **order).status_code == 422


def test_revoking_needs_its_scope(admin: Admin) -> None:
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        order = {"kind": "everything", "reason": "a test"}
        assert client.post(REVOCATIONS, json=order).status_code == 403
        assert client.get(REVOCATIONS).status_code == 403


def test_only_modules_hear_the_news(admin: Admin) -> None:
    with admin.client("query") as client:
        assert client.get(f"{REVOCATIONS}/news?after=0").status_code == 200
    for module in ("edge", "storage", "operator"):
        with admin.client(module) as client:
            assert client.get(f"{REVOCATIONS}/news?after=0").status_code == 403


def test_another_instance_hears_within_a_second(admin: Admin, account: dict[str, Any]) -> None:
    with admin.installation.serve("admin-2") as process:
        token = token_of(admin, account)
        assert status(process, token) == 200
        ask(admin, account, "revoke", token)
        wait_until(lambda: status(process, token) == 401, "the revocation", limit_s=5)


def test_what_valkey_knows_of_another_history_hides_nothing(
    admin: Admin, account: dict[str, Any]
) -> None:
    """PostgreSQL was put back to an earlier day, say: it never made what the stream holds."""
    lost = {
        "seq": time.time_ns() // 1000,
        "kind": "token",
        "value": "lost",
        "ends_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    }
    with (
        running_server() as valkey,
        redis.Redis.from_url(valkey.url) as stream,
    ):
        stream.xadd(STREAM, {FIELD: json.dumps(lost)}, id=f"{lost['seq']}-0")
        stream.set(HEAD, lost["seq"])
        settings = {"VALKEY_URL": valkey.bare_url, "VALKEY_PASSWORD_FILE": valkey.password_file}
        with admin.installation.serve("admin-3", **settings) as process:
            wait_until(lambda: "lost" in known(process), "what Valkey says")
            token = token_of(process, account)
            ask(process, account, "revoke", token)
            assert status(process, token) == 401
            # And whoever follows the stream hears of it.
            assert claims(token)["jti"] in str(stream.xrange(STREAM))


def known(admin: Admin) -> set[str]:
    with admin.as_account() as client:
        return {each["value"] for each in client.get(REVOCATIONS).json()["items"]}


def test_everything_before_now(admin: Admin, account: dict[str, Any]) -> None:
    token, mine = token_of(admin, account), admin.token()
    time.sleep(1.1)  # Tokens count whole seconds.
    assert revoke(admin, kind="everything").status_code == 204
    assert status(admin, token) == status(admin, mine) == 401
    time.sleep(1.1)
    assert status(admin, token_of(admin, account)) == 200


def test_a_reason_that_cannot_be_kept_is_refused(admin: Admin) -> None:
    answer = revoke(admin, kind="token", value="x", reason="a\0b")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "reason: must be without NUL characters",
    )
