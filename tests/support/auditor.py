"""Reads the audit of a running admin module, and checks what it hands out."""

from collections.abc import Callable
from typing import Any

import orjson
from tests.support.processes import wait_until

from artstore.core.audit.verification import VerifiedExport, verify_export
from artstore.core.canonical_json import canonical_json
from artstore.core.model.audit import commitment
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.proof_file import ProofFile

Event = dict[str, Any]
PAGE_ITEMS = 1000


class Auditor:
    def __init__(self, client: Any) -> None:
        """`client`: an HTTP client with a token that may read the audit."""
        self.client = client

    def get(self, path: str, **parameters: object) -> Any:
        answer = self.client.get(f"/api/v1/audit/{path}", params=parameters)
        answer.raise_for_status()
        return answer

    def events(self, limit: int = PAGE_ITEMS, **query: object) -> list[Event]:
        """All of them, page by page, the newest first."""
        found: list[Event] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.get("events", limit=limit, cursor=cursor, **query).json()
            found += page["items"]
            cursor = page["next_cursor"]
        return found

    def wait_for(self, what: Callable[[Event], bool] = bool, **query: object) -> Event:
        return self.wait_for_all(1, what, **query)[0]

    def wait_for_some(self, what: Callable[[Event], bool] = bool, **query: object) -> None:
        """One or more of them."""
        wait_until(lambda: any(map(what, self.events(**query))), f"an audit event of {query}")

    def wait_for_all(
        self, number: int, what: Callable[[Event], bool] = bool, **query: object
    ) -> list[Event]:
        found: list[Event] = []

        def there() -> bool:
            found[:] = [item for item in self.events(**query) if what(item)]
            return len(found) >= number

        wait_until(there, f"{number} audit events of {query}")
        assert len(found) == number, found
        return found

    def policy(self) -> TrustPolicy:
        keys = self.get("keys").json()
        log_keys, witness_keys = (
            tuple(map(VerifierKey.parse, keys[name])) for name in ("log_keys", "witness_keys")
        )
        return TrustPolicy(keys["origin"], log_keys, witness_keys, keys["quorum"])

    def verified(self, item: Event) -> None:
        """Its commitments open, and its proof holds."""
        shown = item["personal"]
        assert {
            name: commitment(name, fact["salt"], fact["value"]) for name, fact in shown.items()
        } == {name: item["event"]["personal"][name] for name in shown}
        proven = self.get(f"proof/{item['index']}").json()
        assert proven["event"] == item["event"]
        proof = ProofFile.parse(proven["proof"].encode())
        proof.verify(canonical_json(item["event"]), self.policy())

    def export(self) -> list[bytes]:
        return list(self.get("export").content.splitlines(keepends=True))

    def verified_export(self) -> tuple[VerifiedExport, list[Event]]:
        """Of the whole log, and its events in order."""
        lines = self.export()
        verified = verify_export(lines, self.policy())
        return verified, [
            parsed["event"] for line in lines if "event" in (parsed := orjson.loads(line))
        ]


def actor_name(name: str) -> Callable[[Event], bool]:
    return lambda item: item["personal"].get("actor_name", {}).get("value") == name
