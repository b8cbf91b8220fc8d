"""PostgreSQL and Valkey across a network: real servers with TLS, and who gets through.

Whether a server is on another machine is told by its address; the tests call this machine
another one, since they have only one.
"""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as ValkeyAway
from tests.support.pki import Pki
from tests.support.remote_servers import PASSWORD, ROLE, remote_postgres, remote_redis

from artstore.core import remote
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.remote import secured, towards
from artstore.core.secrets.chain import fixed_login
from artstore.core.tls import TlsFiles
from artstore.core.valkey import valkey_client


@pytest.fixture(autouse=True)
def _every_address_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_is_remote", lambda _host: True)


@pytest.fixture(scope="module")
def postgres_port(pki: Pki) -> Iterator[int]:
    with remote_postgres(pki) as port:
        yield port


@pytest.fixture(scope="module")
def redis_port(pki: Pki) -> Iterator[int]:
    with remote_redis(pki) as port:
        yield port


async def ask_postgres(
    port: int, tls: TlsFiles | None, host: str = "localhost", password: str = PASSWORD
) -> None:
    url = secured(f"postgresql+psycopg://{ROLE}@{host}:{port}/postgres", tls)
    database = Database(url, fixed_login(password), application_name="test", pool_size=1)
    try:
        await database.check()
    finally:
        await database.close()


async def ask_valkey(
    port: int, tls: TlsFiles | None, host: str = "localhost", password: str = PASSWORD
) -> None:
    scheme = "rediss" if tls else "redis"
    url = f"{scheme}://{host}:{port}/0"
    client = valkey_client(url, ROLE, fixed_login(password), tls, timeout_s=10)
    try:
        assert await client.ping()
    finally:
        await client.aclose()


async def test_postgresql_answers_to_password_and_certificate(postgres_port: int, pki: Pki) -> None:
    await ask_postgres(postgres_port, pki.files("admin"))


async def test_valkey_answers_to_password_and_certificate(redis_port: int, pki: Pki) -> None:
    await ask_valkey(redis_port, pki.files("admin"))


@pytest.mark.parametrize("kind", ["stranger", "expired"])
async def test_postgresql_refuses_a_bad_certificate(
    postgres_port: int, pki: Pki, kind: str
) -> None:
    with pytest.raises(Unavailable):
        await ask_postgres(postgres_port, getattr(pki, kind)("admin", f"admin-{kind}"))


@pytest.mark.parametrize("kind", ["stranger", "expired"])
async def test_valkey_refuses_a_bad_certificate(redis_port: int, pki: Pki, kind: str) -> None:
    with pytest.raises((ValkeyAway, OSError)):
        await ask_valkey(redis_port, getattr(pki, kind)("admin", f"admin-{kind}"))


async def test_a_certificate_is_no_password(postgres_port: int, redis_port: int, pki: Pki) -> None:
    with pytest.raises(Unavailable):
        await ask_postgres(postgres_port, pki.files("admin"), password="guessed")
    with pytest.raises(AuthenticationError):
        await ask_valkey(redis_port, pki.files("admin"), password="guessed")


async def test_a_password_is_no_certificate(postgres_port: int, redis_port: int, pki: Pki) -> None:
    in_tls = f"sslmode=verify-full&sslrootcert={pki.ca_file}"
    url = f"postgresql://{ROLE}:{PASSWORD}@localhost:{postgres_port}/postgres?{in_tls}"
    with pytest.raises(psycopg.OperationalError, match="client certificate"):
        psycopg.connect(url)
    with pytest.raises(Unavailable):
        await ask_postgres(postgres_port, None)
    with pytest.raises((ValkeyAway, OSError)):
        await ask_valkey(redis_port, None)


async def test_a_server_of_another_name_is_refused(
    postgres_port: int, redis_port: int, pki: Pki
) -> None:
    """The server is good, but the address is not one of its names."""
    with pytest.raises(Unavailable):
        await ask_postgres(postgres_port, pki.files("admin"), host="127.0.0.1")
    with pytest.raises((ValkeyAway, OSError)):
        await ask_valkey(redis_port, pki.files("admin"), host="127.0.0.1")


async def test_a_server_of_another_authority_is_refused(
    postgres_port: int, redis_port: int, pki: Pki
) -> None:
    other = towards(pki.files("admin"), pki.other_ca_file)
    with pytest.raises(Unavailable):
        await ask_postgres(postgres_port, other)
    with pytest.raises((ValkeyAway, OSError)):
        await ask_valkey(redis_port, other)


async def test_a_server_that_was_revoked_is_refused(pki: Pki) -> None:
    with remote_redis(pki) as port:
        files = pki.files("admin")
        await ask_valkey(port, files)
        pki.revoke("valkey-1")
        with pytest.raises((ValkeyAway, OSError)):
            await ask_valkey(port, files)
        await ask_valkey(port, replace(files, crl=None))
