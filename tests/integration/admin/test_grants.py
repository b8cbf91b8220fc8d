"""Grants over HTTP: the first restricts, the last does not free."""

from typing import Any
from uuid import uuid4

import pytest
from tests.support.admin import Admin

ACCOUNTS = "/api/v1/service-accounts"
GRANTS = "/api/v1/grants"


@pytest.fixture
def account(admin: Admin) -> dict[str, Any]:
    with admin.as_account() as client:
        name = f"holder-{uuid4().hex[:8]}"
        made = client.post(ACCOUNTS, json={"client_id": name, "role": "admin"}).json()
    return {**made, "subject": f"account:{made['account_id']}"}


def introspected(admin: Admin, account: dict[str, Any]) -> dict[str, Any]:
    with admin.as_account(account["client_id"], account["client_secret"]) as client:
        return dict(client.get(f"{ACCOUNTS}/{account['client_id']}").json())


def test_the_first_grant_restricts_and_the_last_does_not_free(
    admin: Admin, account: dict[str, Any]
) -> None:
    path = f"{GRANTS}/{account['subject']}/photos"
    with admin.as_account() as client:
        made = client.put(path, json={"rights": ["read", "write"]})
        assert made.status_code == 200, made.text
        assert sorted(made.json()["rights"]) == ["read", "write"]
        listed = client.get(GRANTS, params={"subject": account["subject"]}).json()["items"]
        assert [grant["collection"] for grant in listed] == ["photos"]
        assert client.get(GRANTS, params={"collection": "photos"}).json()["items"]
        assert introspected(admin, account)["restricted"] is True
        assert client.delete(path).status_code == 204
        assert client.delete(path).status_code == 404
        assert introspected(admin, account)["restricted"] is True
        free = {"restricted": False}
        changed = client.patch(f"{ACCOUNTS}/{account['client_id']}", json=free)
        assert changed.json()["restricted"] is False


def test_a_restricted_administrator_grants_only_what_it_manages(
    admin: Admin, account: dict[str, Any]
) -> None:
    with admin.as_account() as client:
        client.put(f"{GRANTS}/{account['subject']}/photos", json={"rights": ["manage"]})
    with admin.as_account(account["client_id"], account["client_secret"]) as restricted:
        body = {"rights": ["read"]}
        foreign = restricted.put(f"{GRANTS}/{account['subject']}/letters", json=body)
        assert (foreign.status_code, foreign.json()["required_right"]) == (403, "manage")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("account:x/photos", {"rights": ["read"]}),
        ("account:00000000-0000-0000-0000-000000000000/UPPER", {"rights": ["read"]}),
        ("account:00000000-0000-0000-0000-000000000000/photos", {"rights": []}),
        ("account:00000000-0000-0000-0000-000000000000/photos", {"rights": ["own"]}),
        (
            "account:00000000-0000-0000-0000-000000000000/photos",
            {"rights": ["read"], "ends_at": "2026-01-01T00:00:00"},
        ),
    ],
)
def test_malformed_grants_are_refused(admin: Admin, path: str, body: dict[str, Any]) -> None:
    with admin.as_account() as client:
        assert client.put(f"{GRANTS}/{path}", json=body).status_code == 422


def test_nobody_unknown_gets_a_grant(admin: Admin) -> None:
    with admin.as_account() as client:
        nobody = f"{GRANTS}/account:{uuid4()}/photos"
        assert client.put(nobody, json={"rights": ["read"]}).status_code == 404


def test_grants_are_bounded(admin: Admin, account: dict[str, Any]) -> None:
    with admin.as_account() as client:
        statuses = [
            client.put(
                f"{GRANTS}/{account['subject']}/{'c' * 59}{number:03}",
                json={"rights": ["read", "write", "delete", "manage"]},
            ).status_code
            for number in range(51)
        ]
    assert statuses == [200] * 50 + [422]
    # And a token with all of them still fits everywhere.
    with admin.as_account(account["client_id"], account["client_secret"]) as client:
        assert client.get(ACCOUNTS).status_code == 200


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_end_that_nothing_could_read_back_is_refused(
    admin: Admin, account: dict[str, Any], moment: str
) -> None:
    with admin.as_account() as client:
        body = {"rights": ["read"], "ends_at": moment}
        assert client.put(f"{GRANTS}/{account['subject']}/photos", json=body).status_code == 422
        assert client.get(GRANTS, params={"collection": "photos"}).status_code == 200


def test_a_title_that_cannot_be_kept_is_refused(admin: Admin) -> None:
    with admin.as_account() as client:
        name = f"c-{uuid4().hex[:8]}"
        for field in ("title", "description"):
            body = {"collection": name, field: "a\0b"}
            assert client.post("/api/v1/collections", json=body).status_code == 422
        assert client.post("/api/v1/collections", json={"collection": name}).status_code == 201
        changed = client.patch(f"/api/v1/collections/{name}", json={"title": "a\0b"})
        assert changed.status_code == 422


def test_nobody_held_to_grants_widens_their_own(admin: Admin, account: dict[str, Any]) -> None:
    path = f"{GRANTS}/{account['subject']}/photos"
    with admin.as_account() as client:
        body = {"rights": ["manage"], "ends_at": "2100-01-01T00:00:00Z"}
        assert client.put(path, json=body).status_code == 200
    with admin.as_account(account["client_id"], account["client_secret"]) as client:
        for wider in ({"rights": ["manage"]}, {"rights": ["manage", "delete"]}):
            assert client.put(path, json=wider).status_code == 403
