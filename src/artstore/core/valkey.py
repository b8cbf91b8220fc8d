"""Connections to Valkey that follow a login which changes."""

from typing import Any, Final
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from artstore.core.secrets.chain import Login, LoginSource

CONNECT_TIMEOUT_S: Final = 2.0


def valkey_client(
    url: str,
    username: str,
    login: LoginSource,
    *,
    timeout_s: float,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> Redis:
    """`username`: where the login names none."""
    pool = _FollowingPool.from_url(
        url,
        credential_provider=_Credentials(login, username),
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_timeout_s,
        # A second try would double the wait of whoever waits for it.
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


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
