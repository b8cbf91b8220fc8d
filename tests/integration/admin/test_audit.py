"""What happens in the admin module is in the audit log, once, and proven."""

import secrets
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.admin import Admin
from tests.support.auditor import Auditor, Event, actor_name
from tests.support.processes import wait_until

from artstore.core.audit.verification import verify_export
from artstore.core.tlog.merkle.proofs import verify_consistency
from artstore.core.tlog.notes.note import Note

AUDIT = "/api/v1/audit"


@pytest.fixture
def auditor(admin: Admin) -> Iterator[Auditor]:
    with admin.as_account() as client:
        yield Auditor(client)


@pytest.fixture
def account(auditor: Auditor) -> str:
    """A service account that nothing has happened to but its making."""
    name = f"account-{secrets.token_hex(4)}"
    made = auditor.client.post(
        "/api/v1/service-accounts", json={"client_id": name, "role": "auditor"}
    )
    assert made.status_code == 201, made.text
    return name


def of_account(name: str) -> Any:
    return lambda item: item["event"]["details"].get("client_id") == name


def test_a_token_is_issued_with_an_event(admin: Admin, auditor: Auditor) -> None:
    with admin.client() as client:
        address = client.headers["x-forwarded-for"]
        answer = client.post(
            "/api/v1/auth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": "reader",
                "client_secret": admin.installation.reader_secret,
            },
        )

    event = auditor.wait_for(
        lambda item: item["event"]["correlation_id"] == answer.headers["x-correlation-id"],
        kind="authentication.token_issued",
    )
    assert event["event"]["outcome"] == "succeeded"
    assert event["event"]["actor"]["account"]
    assert event["event"]["actor"]["services"] == ["edge/edge-1", "admin/admin-1"]
    assert event["personal"]["client_address"]["value"] == address
    assert event["personal"]["actor_name"]["value"] == "reader"
    auditor.verified(event)


def test_wrong_credentials_are_an_event_with_the_name_that_was_typed(
    admin: Admin, auditor: Auditor
) -> None:
    name = f"nobody-{secrets.token_hex(4)}"
    with admin.client() as client:
        answer = client.post(
            "/api/v1/admin-auth/login", json={"username": name, "password": "wrong"}
        )
    assert answer.status_code == 401

    event = auditor.wait_for(actor_name(name), kind="authentication.sign_in")
    assert event["event"]["outcome"] == "refused"
    assert event["event"]["problem"] == "invalid_credentials"
    assert name not in str(event["event"]), "the log itself holds no name"


def test_each_change_of_an_account_is_one_event(auditor: Auditor, account: str) -> None:
    path = f"/api/v1/service-accounts/{account}"
    for change in ("rotate-secret", "resume"):
        assert auditor.client.post(f"{path}/{change}").status_code == 200
    assert auditor.client.delete(path).status_code == 200

    events = auditor.wait_for_all(4, of_account(account))
    assert [event["event"]["kind"] for event in reversed(events)] == [
        "account.created",
        "secret.changed",
        "account.changed",
        "account.changed",
    ]
    assert len({event["event"]["target"]["id"] for event in events}) == 1
    for event in events:
        assert event["event"]["actor"]["account"], "whose token it was"
        auditor.verified(event)


def test_a_change_that_is_refused_leaves_no_event_of_success(
    auditor: Auditor, account: str
) -> None:
    again = {"client_id": account, "role": "user"}
    assert auditor.client.post("/api/v1/service-accounts", json=again).status_code == 409
    assert auditor.client.post(f"/api/v1/service-accounts/{account}/resume").status_code == 200

    auditor.wait_for(of_account(account), kind="account.changed")
    assert len([e for e in auditor.events(kind="account.created") if of_account(account)(e)]) == 1


def test_a_flood_of_strangers_is_one_event_a_minute(admin: Admin, auditor: Auditor) -> None:
    with admin.client() as client:
        address = client.headers["x-forwarded-for"]
        for number in range(30):
            headers = {"Authorization": f"Bearer {number}"}
            answer = client.get("/api/v1/service-accounts", headers=headers)
            assert answer.status_code == 401

    event = auditor.wait_for(
        lambda item: item["personal"]["client_address"]["value"] == address,
        kind="authorization.refused",
    )
    assert event["event"]["problem"] == "invalid_token"
    assert event["event"]["details"]["route"] == "/api/v1/service-accounts"


def test_a_missing_right_is_an_event_of_the_account(admin: Admin, auditor: Auditor) -> None:
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        address = client.headers["x-forwarded-for"]
        answer = client.get(f"{AUDIT}/events")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")

    event = auditor.wait_for(
        lambda item: item["event"]["correlation_id"] == answer.headers["x-correlation-id"],
        kind="authorization.refused",
    )
    assert event["event"]["actor"]["account"]
    assert event["personal"]["actor_name"]["value"] == "reader"
    assert event["personal"]["client_address"]["value"] == address


def test_pages_show_each_event_once(auditor: Auditor, account: str) -> None:
    auditor.wait_for(of_account(account))
    until = datetime.now(UTC).isoformat()

    whole = auditor.events(until=until)
    assert len(whole) > 10
    assert known(auditor.events(until=until, limit=3), whole) == whole
    times = [(item["event"]["at"], item["index"]) for item in whole]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("name", "value_of"),
    [
        ("kind", lambda event: event["kind"]),
        ("outcome", lambda event: event["outcome"]),
        ("account", lambda event: event["actor"]["account"]),
        ("person", lambda event: event["actor"]["person"]),
    ],
)
def test_events_are_found_by_what_they_say(
    auditor: Auditor, account: str, name: str, value_of: Any
) -> None:
    until = datetime.now(UTC).isoformat()
    # What happened before is in the index then, too.
    auditor.wait_for(of_account(account))
    whole = auditor.events(until=until)
    for value in {value_of(item["event"]) for item in whole} - {None}:
        expected = [item for item in whole if value_of(item["event"]) == value]
        assert known(auditor.events(until=until, **{name: value}), whole) == expected


def known(found: list[Event], whole: list[Event]) -> list[Event]:
    """Without those that happened before, but came into the log after `whole` was read."""
    last = max(item["index"] for item in whole)
    return [item for item in found if item["index"] <= last]


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x"},
        {"cursor": "2026-11-22T10:00:00_5"},
        {"cursor": "9999-99-99T00:00:00+00:00_5"},
        {"since": "2026-11-22T10:00:00"},
        {"kind": "no.such"},
        {"outcome": "perhaps"},
        {"file_id": "1"},
        {"limit": 0},
        {"limit": 1001},
    ],
    ids=str,
)
def test_questions_that_make_no_sense(auditor: Auditor, query: dict[str, str]) -> None:
    answer = auditor.client.get(f"{AUDIT}/events", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("path", ["proof/9007199254740991", "consistency?first=9007199254740991"])
def test_what_the_log_does_not_have(auditor: Auditor, path: str) -> None:
    answer = auditor.client.get(f"{AUDIT}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_audit_entry")


def test_the_log_only_grows(auditor: Auditor, account: str) -> None:
    auditor.wait_for(of_account(account))
    policy = auditor.policy()
    newest = policy.signed_checkpoint(auditor.get("checkpoint").content).checkpoint
    sizes = {0, 1, newest.size // 2, newest.size - 1, newest.size}

    proven = {}
    for size in sizes:
        answer = auditor.get("consistency", first=size, second=newest.size).json()
        hashes = [b64decode(item) for item in answer["hashes"]]
        assert b64decode(answer["root"]) == newest.root
        proven[size] = hashes
    roots = {
        size: b64decode(auditor.get("consistency", first=0, second=size).json()["root"])
        for size in sizes
    }
    for size, hashes in proven.items():
        verify_consistency(size, roots[size], newest.size, newest.root, hashes)


def test_an_export_verifies_and_holds_what_the_index_shows(auditor: Auditor) -> None:
    verified, events = auditor.verified_export()

    assert verified.end == len(events)
    shown = {item["index"]: item["event"] for item in auditor.events()}
    assert [shown[index] for index in range(len(events))] == events


def test_what_was_erased_is_gone_and_the_log_still_verifies(auditor: Auditor, account: str) -> None:
    made = auditor.wait_for(of_account(account))
    order = {
        "event_ids": [made["event"]["event_id"]],
        "fields": ["client_address"],
        "reason": f"asked for, {account}",
    }
    erased = auditor.client.post(f"{AUDIT}/erasures", json=order)
    assert (erased.status_code, erased.json()) == (200, {"events": 1})

    left = auditor.wait_for(of_account(account))
    assert set(left["personal"]) == {"actor_name"}
    assert left["event"] == made["event"]
    auditor.verified(left)
    assert made["personal"]["client_address"]["salt"] not in _all_facts(auditor)
    told = auditor.wait_for(
        lambda item: item["personal"]["reason"]["value"] == order["reason"],
        kind="audit.personal_erased",
    )
    assert told["event"]["details"]["fields"] == ["client_address"]
    auditor.verified_export()


def _all_facts(auditor: Auditor) -> str:
    return str([item["personal"] for item in auditor.events()])


def test_an_erasure_says_whose_facts(auditor: Auditor) -> None:
    for order in ({"reason": "all"}, {"reason": "", "person": "1"}, {"person": "1"}):
        assert auditor.client.post(f"{AUDIT}/erasures", json=order).status_code == 422


def test_erasing_again_erases_nothing(auditor: Auditor, account: str) -> None:
    made = auditor.wait_for(of_account(account))
    order = {"event_ids": [made["event"]["event_id"]], "reason": "asked for"}

    counts = [auditor.client.post(f"{AUDIT}/erasures", json=order).json() for _ in range(2)]
    assert counts == [{"events": 1}, {"events": 0}]


def test_what_an_old_key_has_signed_still_counts(auditor: Auditor, account: str) -> None:
    auditor.wait_for(of_account(account))
    before, old_policy = auditor.get("checkpoint").content, auditor.policy()
    rotated = auditor.client.post(f"{AUDIT}/keys/rotate")
    assert rotated.status_code == 202
    assert set(rotated.json()["retired"]) == {str(key) for key in old_policy.log_keys[:2]}

    auditor.wait_for(kind="key.retired")
    new_keys = len(old_policy.log_keys) + 2
    wait_until(lambda: len(auditor.policy().log_keys) == new_keys, "new keys being made")
    behind = len(auditor.events(kind="audit.started"))
    auditor.wait_for_all(max(behind, 2), kind="audit.started")
    policy = auditor.policy()
    old = policy.signed_checkpoint(before).checkpoint
    now = policy.signed_checkpoint(auditor.get("checkpoint").content).checkpoint
    assert now.size > old.size
    signed_by = {line.key_id for line in Note.parse(auditor.get("checkpoint").content).signatures}
    assert not signed_by & {key.key_id for key in old_policy.log_keys}
    auditor.verified_export()
    assert verify_export(auditor.export(), policy, known=(old,)).end >= now.size


def test_only_who_may_read_the_audit_reads_it(admin: Admin, auditor: Auditor, account: str) -> None:
    secret = auditor.client.post(f"/api/v1/service-accounts/{account}/rotate-secret").json()
    with admin.as_account(account, secret["client_secret"]) as client:
        for path in ("events", "checkpoint", "keys", "export", "consistency?first=0"):
            assert client.get(f"{AUDIT}/{path}").status_code == 200, path
        for path, body in (("keys/rotate", {}), ("erasures", {"person": "1", "reason": "x"})):
            assert client.post(f"{AUDIT}/{path}", json=body).status_code == 403, path
    with admin.as_account("reader", admin.installation.reader_secret) as client:
        for path in ("events", "checkpoint", "keys", "export", "proof/0", "files/x/proof"):
            assert client.get(f"{AUDIT}/{path}").status_code == 403, path


def test_an_export_is_an_event(auditor: Auditor) -> None:
    answer = auditor.get("export", first=0, end=2)
    event: Event = auditor.wait_for(
        lambda item: item["event"]["correlation_id"] == answer.headers["x-correlation-id"],
        kind="audit.exported",
    )
    assert event["event"]["details"] == {"first": 0, "end": 2}
