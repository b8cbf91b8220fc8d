"""Passwords of Valkey's users. A user may have several, which is all the overlap needs."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from artstore.core.secrets.chain import LoginSource
from artstore.rotation.procedure import RotationFailed
from artstore.rotation.store import SecretStore

SECRET_BYTES: Final = 32
TIMEOUT_S: Final = 10.0


@dataclass
class ValkeyUser:
    name: str
    username: str
    url: str
    """Without credentials."""
    keeper: LoginSource
    """A user that may change others (`+acl|setuser +acl|save +client|list +client|kill`)."""
    store: SecretStore
    kind: str = "valkey"

    def current(self) -> str:
        return self.store.read(self.name)

    def changed_at(self) -> datetime:
        return self.store.changed_at(self.name)

    def make(self, old: str) -> str:
        del old
        return secrets.token_urlsafe(SECRET_BYTES)

    def create(self, new: str) -> None:
        # The digest, so that the password itself is in no log of slow commands.
        self._change(f"#{_digest(new)}")

    def verify(self, new: str) -> None:
        with self._connected(self.username, new) as client:
            client.ping()

    def switch(self, new: str) -> None:
        self.store.write(self.name, new)

    def users_of(self, old: str) -> list[str]:
        """Nobody can be told apart by password. Everybody has looked anew after this while, and
        made connections anew before their next use."""
        del old
        time.sleep(max(0.0, self._seen_at_s() - time.time()))
        return []

    def revoke(self, old: str, new: str) -> None:
        if old != new:
            self._change(f"!{_digest(old)}")
        with self._as_keeper() as client:
            for connection in client.client_list():
                if connection["user"] == self.username and self._is_old(connection):
                    client.client_kill_filter(_id=connection["id"])

    def _seen_at_s(self) -> float:
        return self.store.changed_at(self.name).timestamp() + self.store.seen_after_s

    def _is_old(self, connection: dict[str, Any]) -> bool:
        return time.time() - float(connection["age"]) <= self._seen_at_s()

    def _change(self, rule: str) -> None:
        with self._as_keeper() as client:
            try:
                _run(client, "ACL SETUSER", self.username, rule)
            except ResponseError as error:
                if not (rule.startswith("!") and "does not exist" in str(error)):
                    raise
            try:
                _run(client, "ACL SAVE")
            except ResponseError as error:
                if "not configured to use an acl file" not in str(error).lower():
                    raise

    @contextmanager
    def _as_keeper(self) -> Iterator[Redis]:
        login = self.keeper()
        assert login.username
        with self._connected(login.username, login.password) as client:
            yield client

    @contextmanager
    def _connected(self, username: str, password: str) -> Iterator[Redis]:
        client = Redis.from_url(
            self.url, username=username, password=password, socket_timeout=TIMEOUT_S, protocol=2
        )
        try:
            yield client
        except RedisError as error:
            raise RotationFailed(f"{self.name}: Valkey refuses: {error}") from None
        finally:
            client.close()


def _run(client: Redis, *words: str) -> None:
    client.execute_command(*words)  # type: ignore[no-untyped-call]


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
