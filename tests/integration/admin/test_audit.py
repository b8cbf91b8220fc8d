"""What happens in the admin module and on the elements is in the audit log, once, and proven."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.admin import Admin
from tests.support.processes import wait_until

from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.policy import TrustPolicy

Event = dict[str, Any]


class Auditor:
    """Reads the audit of a running admin module."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def events(self, **query: str) -> list[Event]:
        answer = self._client.get("/api/v1/audit/events", params={"limit": "1000", **query})
        answer.raise_for_status()
        items: list[Event] = answer.json()["items"]
        return items

    def wait_for(self, what: Callable[[Event], bool], **query: str) -> Event:
        found: list[Event] = []

        def there() -> bool:
            found[:] = [item for item in self.events(**query) if what(item)]
            return bool(found)

        wait_until(there, "an audit event")
        return found[0]

    def policy(self) -> TrustPolicy:
        keys = self._client.get("/api/v1/audit/keys").json()
        parsed = tuple(VerifierKey.parse(key) for key in keys["log_keys"])
        return TrustPolicy(keys["origin"], parsed)


@pytest.fixture
def auditor(admin: Admin) -> Any:
    with admin.as_account() as client:
        yield Auditor(client)


def test_a_token_is_issued_with_an_event(admin: Admin, auditor: Auditor) -> None:
    admin.token("reader", admin.installation.reader_secret)

    event = auditor.wait_for(
        lambda item: item["personal"].get("actor_name", {}).get("value") == "reader",
        kind="authentication.token_issued",
    )
    assert event["event"]["outcome"] == "succeeded"
    assert event["event"]["actor"]["account"]
    assert event["event"]["actor"]["services"] == ["edge/edge-1", "admin/admin-1"]
