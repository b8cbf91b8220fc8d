"""Connections to Valkey that follow a login and certificates which change."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from artstore.core.certificates import LiveFiles
from artstore.core.clock import SystemClock
from artstore.core.secrets.chain import Login, LoginSource
from artstore.core.tls import TlsFiles, client_context

CONNECT_TIMEOUT_S: Final = 2.0


def valkey_client(
    url: str,
    username: str,
    login: LoginSource,
    tls: TlsFiles | None,
    *,
    timeout_s: float,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> Redis:
    """
    Args:
        url: `unix:///path`, `redis://host:port/0`, or `rediss://...` for TLS from both sides.
        username: Where the login names none.
        tls: What to show and by what to trust; only `rediss` uses it.
    """
    options: dict[str, Any] = {
        **parse_url(url),
        "credential_provider": _Credentials(login, username),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": connect_timeout_s,
        # A second try would double the wait of whoever waits for it.
        "retry": Retry(NoBackoff(), 0),
    }
    if url.startswith("rediss:") and tls is not None:
        files = LiveFiles(tls.paths, lambda: client_context(tls), SystemClock())
        options |= {"connection_class": _TlsConnection, "current_context": files.current}
    return Redis.from_pool(_FollowingPool(**options))


class _TlsConnection(Connection):
    """The library's own keeps the context of its first connection for ever, and trusts the
    machine's authorities besides ours."""

    def __init__(self, *, current_context: Callable[[], ssl.SSLContext], **options: Any) -> None:
        self._current_context = current_context
        super().__init__(**options)

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._current_context()}


class _Credentials(CredentialProvider):
    def __init__(self, login: LoginSource, username: str) -> None:
        self.login = login
        self._username = username

    def get_credentials(self) -> tuple[str, str]:
        login = self.login()
        return login.username or self._username, login.password

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


class _FollowingPool(ConnectionPool):
    """A connection that was made with a former login is made anew before its next use: Valkey
    would let it go on for ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._login: LoginSource = options["credential_provider"].login
        self._logins: WeakKeyDictionary[AbstractConnection, Login] = WeakKeyDictionary()

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        login = self._login()
        if connection.is_connected and self._logins.get(connection) != login:
            await connection.disconnect()
        await super().ensure_connection(connection)
        self._logins[connection] = login
