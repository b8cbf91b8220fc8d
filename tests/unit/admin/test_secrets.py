"""Keys at rest, hashes within bounds, and what may be remembered."""

import asyncio
import base64
import os

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from artstore.admin.services.identity import hashing
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.admin.services.identity.passwords import check_password
from artstore.admin.services.identity.resealing import SEALED
from artstore.admin.services.identity.sealing import Seal
from artstore.admin.services.identity.verified_secrets import VerifiedSecrets
from artstore.admin.tables import ALL_METADATA
from artstore.core.errors import TooManyRequests, WeakPassword
from artstore.core.settings import ConfigurationError


def new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


KEY = new_key()


def test_what_was_sealed_opens_again() -> None:
    sealed = Seal(lambda: KEY).seal(b"private", "key 1")
    assert b"private" not in sealed
    assert Seal(lambda: KEY.rstrip("=")).open(sealed, "key 1") == b"private"


def test_the_same_bytes_seal_differently() -> None:
    seal = Seal(lambda: KEY)
    assert seal.seal(b"private", "key 1") != seal.seal(b"private", "key 1")


def test_another_key_or_another_context_does_not_open() -> None:
    sealed = Seal(lambda: KEY).seal(b"private", "key 1")
    for seal, context in ((Seal(new_key), "key 1"), (Seal(lambda: KEY), "key 2")):
        with pytest.raises(ConfigurationError, match="key-encryption key"):
            seal.open(sealed, context)


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    sealed = bytearray(Seal(lambda: KEY).seal(b"private", "key 1"))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ConfigurationError):
        Seal(lambda: KEY).open(bytes(sealed), "key 1")


@pytest.mark.parametrize("cut", [0, 1, 5, 13, 20])
def test_a_part_does_not_open(cut: int) -> None:
    with pytest.raises(ConfigurationError):
        Seal(lambda: KEY).open(Seal(lambda: KEY).seal(b"private", "key 1")[:cut], "key 1")


@pytest.mark.parametrize(
    "text",
    ["", "short", KEY[:-4], KEY + "AAAA", "!" * 43, "я" * 43],
    ids=["empty", "a word", "cut", "longer", "other signs", "not ASCII"],
)
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Seal(lambda: text)


def test_while_one_key_replaces_another_both_open_and_the_first_seals() -> None:
    old, new = new_key(), new_key()
    secret = old
    seal = Seal(lambda: secret)
    before = seal.seal(b"private", "key 1")
    secret = f"{old}\n{new}"
    assert Seal(lambda: old).open(seal.seal(b"private", "key 1"), "key 1") == b"private"
    secret = f"{new}\n{old}"
    assert seal.open(before, "key 1") == b"private"
    assert not seal.is_by_first(before, "key 1")
    after = seal.seal(b"private", "key 1")
    assert seal.is_by_first(after, "key 1")
    secret = new
    assert Seal(lambda: new).open(after, "key 1") == seal.open(after, "key 1") == b"private"
    with pytest.raises(ConfigurationError, match="restore the key file"):
        seal.open(before, "key 1")


def test_a_key_that_became_unfit_changes_nothing_until_a_restart() -> None:
    secret = KEY
    seal = Seal(lambda: secret)
    sealed = seal.seal(b"", "key 1")
    secret = "not a key"
    assert seal.open(sealed, "key 1") == b""
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Seal(lambda: secret)


def test_every_encrypted_column_is_sealed_anew_with_another_key() -> None:
    encrypted = {
        column
        for metadata in ALL_METADATA
        for table in metadata.tables.values()
        for column in table.columns
        if "encrypted" in (column.comment or "")
    }
    assert {column.sealed for column, _ in SEALED} == encrypted


async def test_hashes_are_argon2id_of_the_chosen_strength() -> None:
    hasher = SecretHasher()
    stored = await hasher.hash("secret")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await hasher.verify(stored, "secret")
    assert not await hasher.verify(stored, "Secret")
    assert not await hasher.verify("not a hash", "secret")
    hasher.close()


async def test_nobody_costs_as_much_as_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash of nobody has the same parameters and goes all the way through argon2."""
    seen: list[str] = []
    real = PasswordHasher.verify

    def watch(self: PasswordHasher, stored: str, secret: str) -> bool:
        seen.append(stored)
        return bool(real(self, stored, secret))

    monkeypatch.setattr(PasswordHasher, "verify", watch)
    hasher = SecretHasher()
    assert not await hasher.verify(None, "secret")
    hasher.close()
    (stored,) = seen
    assert stored.startswith(f"$argon2id$v=19${hashing.COST}$")
    assert not PasswordHasher(3, 65536, 4).check_needs_rehash(stored)


async def test_a_queue_that_is_full_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "WAITING_MAX", 1)
    hasher = SecretHasher()
    results = await asyncio.gather(
        *(hasher.verify(None, "x") for _ in range(6)), return_exceptions=True
    )
    hasher.close()
    assert results.count(False) == 3
    assert sum(isinstance(result, TooManyRequests) for result in results) == 3


def test_only_the_right_secret_of_the_present_hash_is_remembered() -> None:
    verified = VerifiedSecrets()
    verified.remember("hash 1", "secret")
    assert verified.knows("hash 1", "secret")
    assert not verified.knows("hash 1", "other")
    assert not verified.knows("hash 2", "secret")


def test_the_memory_of_secrets_is_bounded_and_holds_no_secret() -> None:
    verified = VerifiedSecrets()
    for number in range(10_050):
        verified.remember(str(number), f"secret {number}")
    assert not verified.knows("0", "secret 0")
    assert verified.knows("10049", "secret 10049")
    assert b"secret" not in repr(vars(verified)).encode()


@pytest.mark.parametrize(
    "password",
    ["nine lanterns over slow water", "пять длинных слов про море", "x9Jq2mVb7LpT4wZcKd"],
)
def test_long_passwords_of_any_characters_are_taken(password: str) -> None:
    check_password(password, "admin")


@pytest.mark.parametrize("password", ["a" * 256, "ab" * 128, "1" * 72 + "é", "\n" * 20])
def test_passwords_that_repeat_themselves_are_not(password: str) -> None:
    with pytest.raises(WeakPassword):
        check_password(password, "admin")
