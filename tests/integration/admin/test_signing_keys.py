"""One key for all instances, unreadable without the key-encryption key."""

import asyncio
import base64
import os
from collections import Counter, deque
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from tests.support.admin import ISSUER, Installation, MakeDatabase
from tests.support.hand_clock import HandClock
from tests.support.postgres import TestDatabase
from tests.support.processes import wait_until

from artstore.admin.repository.valkey import Valkey
from artstore.admin.schema import migrate
from artstore.admin.services.audit.trail import Trail, Who
from artstore.admin.services.identity import key_rotation, signing_keys
from artstore.admin.services.identity.key_rotation import KeyRotation
from artstore.admin.services.identity.revocation import Revocations
from artstore.admin.services.identity.sealing import Seal
from artstore.admin.services.identity.signing_keys import KeyRing
from artstore.admin.services.identity.tokens import Holder, TokenIssuer
from artstore.core.clock import Clock, SystemClock
from artstore.core.database import Database
from artstore.core.errors import NotReady
from artstore.core.model.account import Scope
from artstore.core.revocation import RevocationMirror
from artstore.core.secrets.chain import fixed_login
from artstore.core.settings import ConfigurationError
from artstore.core.tokens import TokenVerifier

KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()


class Instance:
    """Of the admin module, as far as keys go."""

    def __init__(self, database: Database, seal: Seal, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        away = Valkey("unix:///nonexistent", "x", fixed_login("x"), None, clock)
        self.revocations = Revocations(database, away, RevocationMirror(clock), clock)
        self.ring = KeyRing(database, seal, clock, self.revocations.mirror.revokes_key)
        self.rotation = KeyRotation(
            database,
            seal,
            self.ring,
            revocations=self.revocations,
            clock=clock,
            trail=Trail(clock),
        )


def instance(database: Database, key: str | None = None) -> Instance:
    return Instance(database, Seal(lambda: key or KEY))


@pytest.fixture(autouse=True)
def smaller_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the least size that libraries take: making keys is most of these tests' time."""
    monkeypatch.setattr(signing_keys, "KEY_BITS", 2048)


@pytest.fixture
async def database(make_database: MakeDatabase) -> TestDatabase:
    made = make_database("keys")
    migrate(made.admin_url, fixed_login(made.admin_password))
    execute(made, "TRUNCATE identity.signing_keys")
    return made


@pytest.fixture
async def pool(database: TestDatabase) -> AsyncIterator[Database]:
    opened = Database(
        database.admin_url, fixed_login(database.admin_password), application_name="test"
    )
    yield opened
    await opened.close()


def execute(database: TestDatabase, statement: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(database.url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


async def test_instances_that_start_together_make_the_same_keys(
    database: TestDatabase, pool: Database
) -> None:
    instances = [instance(pool) for _ in range(5)]
    await asyncio.gather(*(each.rotation.prepare() for each in instances))
    rows = execute(database, "SELECT state FROM identity.signing_keys ORDER BY state")
    assert rows == [("active",), ("next",)]
    for each in instances:
        await each.ring.reload()
    documents = [await each.ring.jwks() for each in instances]
    assert all(document == documents[0] for document in documents)


async def test_each_instance_signs_what_the_others_accept(pool: Database) -> None:
    first, second = (instance(pool) for _ in range(2))
    await first.rotation.prepare()
    await second.rotation.prepare()
    token = await first.ring.sign({"sub": "x"})
    keys = KeySet.import_key_set(await second.ring.jwks())  # type: ignore[arg-type]
    assert jwt.decode(token, keys, ["RS256"]).claims == {"sub": "x"}


async def test_the_private_key_is_not_in_the_database(
    database: TestDatabase, pool: Database
) -> None:
    await instance(pool).rotation.prepare()
    for sealed, public in execute(
        database, "SELECT private_key, public_jwk FROM identity.signing_keys"
    ):
        assert isinstance(sealed, bytes)
        assert b"PRIVATE" not in sealed
        assert isinstance(public, dict)
        assert set(public) == {"kty", "n", "e", "kid", "use", "alg"}


async def test_another_key_encryption_key_is_refused(pool: Database) -> None:
    await instance(pool).rotation.prepare()
    other = base64.urlsafe_b64encode(os.urandom(32)).decode()
    with pytest.raises(ConfigurationError, match="key-encryption key"):
        await instance(pool, other).rotation.prepare()


async def test_another_instance_notices_a_rotation(
    pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotating, other = (instance(pool) for _ in range(2))
    await rotating.rotation.prepare()
    await other.rotation.prepare()
    before = await rotating.rotation.keys()
    monkeypatch.setattr(key_rotation, "PUBLISHED_AHEAD", timedelta(0))
    after = await rotating.rotation.rotate(Who(name="operator"))
    assert {key.kid for key in before} < {key.kid for key in after}
    assert [key.state for key in after] == ["passive", "active", "next"]
    monkeypatch.setattr(signing_keys, "RELOAD_AFTER_S", -1)
    assert {key["kid"] for key in (await other.ring.jwks())["keys"]} == {key.kid for key in after}
    keys = KeySet.import_key_set(await other.ring.jwks())  # type: ignore[arg-type]
    signed = jwt.decode(await other.ring.sign({"sub": "x"}), keys, ["RS256"])
    assert signed.header["kid"] == after[1].kid


async def test_a_key_that_was_not_published_yet_does_not_sign(pool: Database) -> None:
    rotating = instance(pool)
    await rotating.rotation.prepare()
    with pytest.raises(NotReady):
        await rotating.rotation.rotate(Who(name="operator"))


async def test_stolen_keys_are_replaced_and_nothing_they_sign_counts(pool: Database) -> None:
    thief, owner = (instance(pool) for _ in range(2))
    await thief.rotation.prepare()
    await owner.rotation.prepare()
    before = {key.kid for key in await owner.rotation.keys()}
    after = await owner.rotation.replace_stolen(Who(name="operator"))
    assert before.isdisjoint(key.kid for key in after)
    assert all(owner.revocations.mirror.revokes_key(kid) for kid in before)
    # Another instance signs with the new key as soon as it hears of that.
    await thief.revocations.spread()
    keys = KeySet.import_key_set(await thief.ring.jwks())  # type: ignore[arg-type]
    signed = jwt.decode(await thief.ring.sign({"sub": "x"}), keys, ["RS256"])
    assert signed.header["kid"] not in before


async def test_good_keys_stay_good_while_the_database_is_away(
    pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = instance(pool)
    await one.rotation.prepare()
    before = await one.ring.jwks()
    monkeypatch.setattr(signing_keys, "RELOAD_AFTER_S", -1)
    away = Database(
        "postgresql+psycopg://nobody@/nothing?host=/nonexistent",
        fixed_login("x"),
        application_name="test",
    )
    monkeypatch.setattr(one.ring, "_database", away)
    assert await one.ring.jwks() == before
    assert await one.ring.sign({"sub": "x"})
    await away.close()


async def test_thirty_days_of_rotation_refuse_nobody(pool: Database) -> None:
    """Goal: whatever instance issues a token and whatever module checks it, at whatever moment
    of its life, it is good; and each key lives as long as it should.

    Method: a clock moved by hand, half an hour at a time. At each step every instance may rotate,
    one issues a token, and three modules that know nothing of each other check all tokens alive.
    """
    clock = HandClock()
    instances = [Instance(pool, Seal(lambda: KEY), clock) for _ in range(3)]
    for each in instances:
        await each.rotation.prepare()
    mirror = RevocationMirror(clock)
    modules = [
        TokenVerifier(instances[number].ring.jwks, ISSUER, clock, mirror) for number in range(3)
    ]
    alive: deque[str] = deque(maxlen=3)
    signers: Counter[str] = Counter()
    step_s = 1700  # Three tokens of an hour are alive at a time.
    for step in range(30 * 24 * 3600 // step_s):
        mirror.confirm()
        await asyncio.gather(*(each.rotation.advance() for each in instances))
        issuing = TokenIssuer(instances[step % 3].ring, ISSUER, 3600, clock)
        made = await issuing.issue(Holder("account:1", "cli", "cli", 0), [Scope.FILES_READ])
        alive.append(made.token)
        callers = [
            await modules[(step + number) % 3].verify(token) for number, token in enumerate(alive)
        ]
        signers[callers[-1].key_id] += 1
        clock.advance(step_s)
    assert 29 <= len(signers) <= 31
    assert max(signers.values()) <= 24 * 3600 // step_s + 2
    states = [key.state for key in await instances[0].rotation.keys()]
    assert states.count("active") == states.count("next") == 1
    assert states.count("passive") <= 1


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
