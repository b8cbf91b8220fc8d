"""The key that encrypts what the database holds: keys that sign, secrets of people.

Its secret holds two keys for a while, a line each; the first one seals, both open. The admin module
reads it again by itself, and seals anew what the former one sealed.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from artstore.client.store import ArtStore
from artstore.core.errors import ArtStoreError
from artstore.rotation.procedure import RotationFailed
from artstore.rotation.store import SecretStore

KEY_BYTES: Final = 32
PATH: Final = "/api/v1/key-encryption"
SIGNING_KEYS: Final = "/api/v1/jwt-keys/rotate"

LET_IN_MAX_S: Final = 60.0


@dataclass
class KeyEncryptionKey:
    name: str
    connect: Callable[[], ArtStore]
    """As an account that may change accounts."""
    store: SecretStore
    leaked: bool = False
    """What it sealed counts as known: the keys that sign tokens are replaced, all tokens end."""
    kind: str = "encryption"

    def current(self) -> str:
        return self._keys()[0]

    def changed_at(self) -> datetime:
        return self.store.changed_at(self.name)

    def make(self, old: str) -> str:
        del old
        return secrets.token_urlsafe(KEY_BYTES)

    def create(self, new: str) -> None:
        keys = self._keys()
        if new not in keys:
            self._write([keys[0], new])

    def verify(self, new: str) -> None:
        """Before anything is sealed by it, every instance has to know it."""
        self._wait_until_seen()
        if _id(new) not in self._call("GET", PATH)["keys"]:
            raise RotationFailed(f"{self.name}: the admin module does not read the new key")

    def switch(self, new: str) -> None:
        self._write([new, *(key for key in self._keys() if key != new)])

    def users_of(self, old: str) -> list[str]:
        self._wait_until_seen()
        told = self._call("POST", f"{PATH}/reseal")
        if told["keys"][:1] == [_id(old)]:
            return ["the admin module, which has not looked at its secret again"]
        if told["resealed"]:
            return [f"{told['resealed']} rows of the database, sealed anew a moment ago"]
        if not self.leaked:
            self._wait_until_seen(told["former_needed_s"])
        return []

    def revoke(self, old: str, new: str) -> None:
        self._write([new])
        if self.leaked and old != new:
            self._call("POST", SIGNING_KEYS, {"stolen": True})
            self._wait_until_let_in()

    def _wait_until_let_in(self) -> None:
        """A token by a key that nobody has seen before is refused for some seconds."""
        deadline_s = time.monotonic() + LET_IN_MAX_S
        while True:
            try:
                self._call("GET", PATH)
            except RotationFailed:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.5)
            else:
                return

    def _keys(self) -> list[str]:
        return self.store.read(self.name).split("\n")

    def _write(self, keys: list[str]) -> None:
        self.store.write(self.name, "\n".join(keys))

    def _wait_until_seen(self, more_s: float = 0.0) -> None:
        seen_at_s = self.changed_at().timestamp() + self.store.seen_after_s + more_s
        time.sleep(max(0.0, seen_at_s - time.time()))

    def _call(self, method: str, path: str, body: dict[str, bool] | None = None) -> Any:
        try:
            with self.connect() as store:
                return store.call(method, path, body=body)
        except ArtStoreError as error:
            raise RotationFailed(f"{self.name}: {error.detail}") from None


def _id(key: str) -> str:
    """As the admin module names it."""
    plain = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
    return hashlib.sha256(b"artstore key-encryption key\n" + plain).hexdigest()[:16]
