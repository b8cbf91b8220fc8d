"""What the routes work with, built once by `app.py`."""

from dataclasses import dataclass

from starlette.requests import Request

from artstore.core.clock import Clock
from artstore.core.recording.receipts import ReceiptIssuer
from artstore.ingester.services.intake import Intake
from artstore.ingester.services.resumable import Resumable
from artstore.ingester.services.rules import CachedRules
from artstore.ingester.settings import IngesterSettings


@dataclass(frozen=True, slots=True)
class Ingester:
    settings: IngesterSettings
    clock: Clock
    intake: Intake
    resumable: Resumable
    rules: CachedRules
    receipts: ReceiptIssuer

    def bytes_max(self, collection: str) -> int:
        """Of one file there. Raises `Unavailable`: the rules are not known yet."""
        of_collection = self.rules.of(collection).size_bytes_max
        of_all = self.settings.upload_bytes_max
        return of_all if of_collection is None else min(of_all, of_collection)

    @property
    def service(self) -> str:
        """As the audit names it."""
        return f"ingester/{self.settings.instance}"


def ingester_of(request: Request) -> Ingester:
    ingester: Ingester = request.app.state.ingester
    return ingester
