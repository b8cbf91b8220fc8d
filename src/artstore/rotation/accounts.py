"""Secrets of service accounts, through the API: of those that the installation keeps itself.

The server ends the old one by itself, when its overlap is over.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from artstore.client.store import ArtStore
from artstore.core.errors import ArtStoreError
from artstore.rotation.procedure import RotationFailed
from artstore.rotation.store import SecretStore

SECRET_BYTES: Final = 32
OVERLAP: Final = timedelta(days=7)
"""Programs that run for days read their secret once, when they start."""


@dataclass
class AccountSecret:
    name: str
    client_id: str
    connect: Callable[[str | None], ArtStore]
    """As the account, by this secret; `None`: as whoever may change accounts."""
    store: SecretStore
    leaked: bool = False
    """The old one ends with the rotation, and so do tokens it got."""
    kind: str = "account"

    def current(self) -> str:
        return self.store.read(self.name)

    def changed_at(self) -> datetime:
        return self.store.changed_at(self.name)

    def make(self, old: str) -> str:
        del old
        return secrets.token_urlsafe(SECRET_BYTES)

    def create(self, new: str) -> None:
        self._set(new, OVERLAP)

    def verify(self, new: str) -> None:
        try:
            with self.connect(new) as store:
                store.token()
        except ArtStoreError as error:
            raise RotationFailed(f"{self.name}: {error.detail}") from None

    def switch(self, new: str) -> None:
        self.store.write(self.name, new)

    def users_of(self, old: str) -> list[str]:
        del old
        return []

    def revoke(self, old: str, new: str) -> None:
        if self.leaked and old != new:
            self._set(new, timedelta())

    def _set(self, secret: str, overlap: timedelta) -> None:
        path = f"/api/v1/service-accounts/{self.client_id}/rotate-secret"
        body = {"overlap_s": int(overlap.total_seconds()), "secret": secret}
        try:
            with self.connect(None) as store:
                store.call("POST", path, body=body)
        except ArtStoreError as error:
            raise RotationFailed(f"{self.name}: {error.detail}") from None
