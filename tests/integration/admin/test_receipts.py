"""Keys of receipts are in the audit log and published for good; a lost receipt is given again."""

from typing import Any

import httpx2
import pytest
from tests.integration.admin.feed_element import FeedElement
from tests.integration.admin.following import eventually
from tests.integration.admin.test_files import OLD_ID
from tests.integration.admin.test_grants import GRANTS
from tests.integration.admin.test_grants import account as account_fixture
from tests.support.admin import ISSUER, Admin
from tests.support.auditor import Auditor

from artstore.core.audit.receipts import KeySet, SigningKey

account = account_fixture
KEYS = "/api/v1/receipt-keys"
PUBLISHED = "/.well-known/receipt-keys.json"


def published(client: httpx2.Client) -> KeySet:
    return KeySet.parse(client.get(PUBLISHED).content)


def registered(target: str) -> Any:
    return lambda item: item["event"]["target"] == {"type": "receipt_key", "id": target}


def test_a_key_is_published_and_in_the_audit_log(admin: Admin) -> None:
    key = SigningKey()

    with admin.client("ingester") as ingester:
        answers = [ingester.post(KEYS, json={"x": key.public_x}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json(), "told twice it is one key"
    with admin.client() as anybody:
        assert published(anybody).keys[key.kid].service == "ingester/ingester-1"
    with admin.as_account() as client:
        auditor = Auditor(client)
        event = auditor.wait_for(registered(key.kid), kind="key.created")
        auditor.verified(event)
    details = event["event"]["details"]
    assert details["public_key"] == key.public_x
    assert details["valid_until"] == answers[0].json()["exp"]
    assert event["event"]["actor"]["services"] == ["ingester/ingester-1", "admin/admin-1"]


def test_only_an_ingester_names_a_key(admin: Admin) -> None:
    for module in ("edge", "query", "storage"):
        with admin.client(module) as client:
            answer = client.post(KEYS, json={"x": SigningKey().public_x})
        assert answer.status_code == 403


@pytest.mark.parametrize("x", ["", "A" * 42, "A" * 44, "!" * 43, None])
def test_what_is_no_key_is_refused(admin: Admin, x: str | None) -> None:
    with admin.client("ingester") as client:
        assert client.post(KEYS, json={"x": x}).status_code == 422


def test_the_key_of_one_service_is_not_that_of_another(admin: Admin) -> None:
    with admin.as_account() as client:
        own = next(key for key in published(client).keys.values() if key.service.startswith("adm"))
    with admin.client("ingester") as ingester:
        assert ingester.post(KEYS, json={"x": own.x}).status_code == 403


async def test_a_lost_receipt_is_given_again(admin: Admin, fake: FeedElement) -> None:
    record = fake.create("letter.txt")
    with admin.as_account() as client:

        async def given() -> bool:
            return client.get(f"/api/v1/receipts/{record.file_id}").status_code == 200

        await eventually(given, "the receipt")
        answer = client.get(f"/api/v1/receipts/{record.file_id}").json()
        receipt = published(client).verify(answer["receipt"])

    assert (receipt.iss, receipt.file_id) == (ISSUER, record.file_id)
    assert (receipt.size, receipt.sha256) == (record.size, record.sha256)


async def test_who_may_not_read_gets_no_receipt(
    admin: Admin, account: dict[str, Any], fake: FeedElement
) -> None:
    record = fake.create("letter.txt")
    path = f"/api/v1/receipts/{record.file_id}"
    with admin.as_account() as client:

        async def given() -> bool:
            return client.get(path).status_code == 200

        await eventually(given, "the receipt")
        assert client.get(f"/api/v1/receipts/{OLD_ID}").status_code == 404
        for collection, rights, status in (
            ("elsewhere", ["read"], 404),
            (record.collection, ["write"], 403),
            (record.collection, ["read"], 200),
        ):
            grant = f"{GRANTS}/{account['subject']}/{collection}"
            client.put(grant, json={"rights": rights}).raise_for_status()
            with admin.as_account(account["client_id"], account["client_secret"]) as restricted:
                assert restricted.get(path).status_code == status
    with admin.client() as stranger:
        assert stranger.get(path).status_code == 401
