"""One key for all instances, unreadable without the key-encryption key."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from psycopg.types.json import Jsonb
from tests.support.admin import Installation, MakeDatabase
from tests.support.postgres import TestDatabase
from tests.support.processes import wait_until

from artstore.admin.schema import migrate
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.identity import signing_keys
from artstore.admin.services.identity.sealing import Seal
from artstore.admin.services.identity.signing_keys import KeyRing
from artstore.core.clock import SystemClock
from artstore.core.database import Database
from artstore.core.settings import ConfigurationError

KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()


def key_ring(database: Database, seal: Seal) -> KeyRing:
    clock = SystemClock()
    return KeyRing(database, seal, clock, Trail(clock))


@pytest.fixture
async def database(make_database: MakeDatabase) -> TestDatabase:
    made = make_database("keys")
    migrate(made.admin_url, made.admin_password)
    execute(made, "TRUNCATE identity.signing_keys")
    return made


@pytest.fixture
async def pool(database: TestDatabase) -> AsyncIterator[Database]:
    opened = Database(database.admin_url, database.admin_password, application_name="test")
    yield opened
    await opened.close()


def execute(database: TestDatabase, statement: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(database.url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


async def test_instances_that_start_together_make_one_key(
    database: TestDatabase, pool: Database
) -> None:
    rings = [key_ring(pool, Seal(KEY)) for _ in range(5)]
    await asyncio.gather(*(ring.prepare() for ring in rings))
    assert len(execute(database, "SELECT kid FROM identity.signing_keys")) == 1
    documents = [await ring.jwks() for ring in rings]
    assert all(document == documents[0] for document in documents)


async def test_each_instance_signs_what_the_others_accept(pool: Database) -> None:
    first, second = (key_ring(pool, Seal(KEY)) for _ in range(2))
    await first.prepare()
    await second.prepare()
    token = await first.sign({"sub": "x"})
    keys = KeySet.import_key_set(await second.jwks())  # type: ignore[arg-type]
    assert jwt.decode(token, keys, ["RS256"]).claims == {"sub": "x"}


async def test_the_private_key_is_not_in_the_database(
    database: TestDatabase, pool: Database
) -> None:
    ring = key_ring(pool, Seal(KEY))
    await ring.prepare()
    ((sealed, public),) = execute(
        database, "SELECT private_key, public_jwk FROM identity.signing_keys"
    )
    assert isinstance(sealed, bytes)
    assert b"PRIVATE" not in sealed
    assert isinstance(public, dict)
    assert set(public) == {"kty", "n", "e", "kid", "use", "alg"}


async def test_another_key_encryption_key_is_refused(pool: Database) -> None:
    await key_ring(pool, Seal(KEY)).prepare()
    other = Seal(base64.urlsafe_b64encode(os.urandom(32)).decode())
    with pytest.raises(ConfigurationError, match="key-encryption key"):
        await key_ring(pool, other).prepare()


async def test_keys_of_all_states_are_published_and_the_active_one_signs(
    database: TestDatabase, pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a rotation by another instance would leave it."""
    ring = key_ring(pool, Seal(KEY))
    await ring.prepare()
    (old,) = (await ring.jwks())["keys"]
    execute(database, "UPDATE identity.signing_keys SET state = 'passive'")
    rotating = key_ring(pool, Seal(KEY))
    await rotating.prepare()
    upcoming = {**old, "kid": uuid4().hex}
    execute(
        database,
        "INSERT INTO identity.signing_keys (kid, state, public_jwk, private_key, created_at) "
        "VALUES (%s, 'next', %s, '', now())",
        upcoming["kid"],
        Jsonb(upcoming),
    )
    monkeypatch.setattr(signing_keys, "RELOAD_AFTER_S", 0)
    published = [key["kid"] for key in (await ring.jwks())["keys"]]
    assert len(published) == 3
    assert {old["kid"], upcoming["kid"]} < set(published)
    keys = KeySet.import_key_set(await ring.jwks())  # type: ignore[arg-type]
    token = jwt.decode(await ring.sign({"sub": "x"}), keys, ["RS256"])
    assert token.header["kid"] not in (old["kid"], upcoming["kid"])


async def test_good_keys_stay_good_while_the_database_is_away(
    pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = key_ring(pool, Seal(KEY))
    await ring.prepare()
    before = await ring.jwks()
    monkeypatch.setattr(signing_keys, "RELOAD_AFTER_S", -1)
    away = Database(
        "postgresql+psycopg://nobody@/nothing?host=/nonexistent", "x", application_name="test"
    )
    monkeypatch.setattr(ring, "_database", away)
    assert await ring.jwks() == before
    assert await ring.sign({"sub": "x"})
    await away.close()


def test_a_module_with_the_wrong_key_does_not_start(installation: Installation) -> None:
    """And says which secret is wrong."""
    wrong = installation.folder / "wrong-key"
    wrong.write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
    wrong.chmod(0o600)
    with installation.serve():
        pass  # The right key first: only then is there something to open.
    with (
        pytest.raises(AssertionError, match="key-encryption key does not open"),
        installation.serve("admin-2", KEY_ENCRYPTION_KEY_FILE=wrong),
    ):
        wait_until(lambda: False, "the end of the process", limit_s=0)
