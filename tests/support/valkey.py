"""A throw-away real Valkey, configured exactly as `artstore up` configures its own.

Fixtures, one server per session: `valkey` is the URL with credentials, `valkey_server`
tells its parts as settings hold them.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.processes import running, short_folder

from artstore.core.private_files import write_private
from artstore.local import programs
from artstore.local import valkey as local


@dataclass(frozen=True)
class TestValkey:
    __test__ = False

    url: str
    """With credentials, for `redis.asyncio.from_url`."""
    bare_url: str
    """Without credentials: ARTSTORE_VALKEY_URL."""
    username: str
    password: str
    password_file: Path


@contextmanager
def prepared_server() -> Iterator[tuple[local.Valkey, TestValkey]]:
    """Configured, and not running yet."""
    with short_folder() as folder:
        password = secrets.token_urlsafe(32)
        write_private(folder / "password", password)
        server = local.Valkey(
            programs.valkey_server(), folder / "data", folder / "valkey.conf", folder
        )
        server.configure(password)
        yield (
            server,
            TestValkey(
                url=f"unix://{local.USERNAME}:{password}@{server.socket}",
                bare_url=server.url,
                username=local.USERNAME,
                password=password,
                password_file=folder / "password",
            ),
        )


@contextmanager
def running_server() -> Iterator[TestValkey]:
    with prepared_server() as (server, made):
        log = made.password_file.with_name("log")
        with running(server.command(), lambda _: server.is_ready(made.password), log, local.STOP):
            yield made


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[TestValkey]:
    with running_server() as made:
        yield made


@pytest.fixture(scope="session")
def valkey(valkey_server: TestValkey) -> str:
    return valkey_server.url
