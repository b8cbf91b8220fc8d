"""A deposit receipt is a JWS that code of others reads, and nothing in it can be changed."""

import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from artstore.core.audit.receipts import (
    KEY_VALID_FOR,
    InvalidReceipt,
    KeySet,
    PublicReceiptKey,
    SigningKey,
)
from artstore.core.model.file import Digest, FileRecord, Uploader
from artstore.core.model.ids import FileId

NOW = datetime(2026, 11, 26, 4, 30, 1, 250_000, tzinfo=UTC)
ISSUER = "https://archive.example"
RECORD = FileRecord(
    file_id=FileId("01a205c1-80ca-75b3-bdc7-a5b6c8b8f565"),
    collection="contracts",
    original_filename="Договор.pdf",
    size=17,
    content_type="application/pdf",
    digests=(Digest(alg="sha256", value="ab" * 32, computed_at=NOW),),
    uploaded_at=NOW,
    uploaded_by=Uploader(subject="account:7", name="Мария", via="api"),
    revision=1,
)


def published(key: SigningKey, created_at: datetime = NOW) -> PublicReceiptKey:
    return PublicReceiptKey(
        x=key.public_x,
        kid=key.kid,
        iat=int(created_at.timestamp()),
        exp=int((created_at + KEY_VALID_FOR).timestamp()),
        service="ingester/ingester-1",
    )


def key_set(*keys: PublicReceiptKey) -> KeySet:
    return KeySet.parse(orjson.dumps({"keys": [key.model_dump() for key in keys]}))


def test_a_receipt_says_what_was_deposited() -> None:
    key = SigningKey()

    receipt = key_set(published(key)).verify(key.sign(RECORD, ISSUER, NOW))

    assert (receipt.iss, receipt.file_id, receipt.size) == (ISSUER, RECORD.file_id, 17)
    assert (receipt.sha256, receipt.account) == (RECORD.sha256, "account:7")
    assert receipt.signed_at == NOW.replace(microsecond=0)
    assert receipt.deposited_at == orjson.loads(RECORD.to_json())["uploaded_at"]


def test_nothing_personal_is_in_it() -> None:
    token = SigningKey().sign(RECORD, ISSUER, NOW)

    payload = jws.extract_compact(token.encode()).payload.decode()
    assert "Мария" not in payload
    assert "Договор" not in payload


def test_code_of_others_reads_it() -> None:
    key = SigningKey()
    token = key.sign(RECORD, ISSUER, NOW)
    public = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": key.public_x})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = jws.deserialize_compact(token, public, algorithms=["Ed25519"])

    assert public.thumbprint() == key.kid == read.headers()["kid"]
    assert orjson.loads(read.payload)["file_id"] == RECORD.file_id


def test_each_changed_character_is_noticed() -> None:
    key = SigningKey()
    keys = key_set(published(key))
    token = key.sign(RECORD, ISSUER, NOW)

    for place, letter in enumerate(token):
        other = token[:place] + ("A" if letter != "A" else "B") + token[place + 1 :]
        with pytest.raises(InvalidReceipt):
            keys.verify(other)


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c", "...", "ü.ü.ü", "e30.e30.e30", "x" * 20_000, "W10.W10.W10"]
)
def test_what_is_no_receipt_is_said_to_be_none(token: str) -> None:
    with pytest.raises(InvalidReceipt, match="deposit receipt"):
        key_set().verify(token)


def test_another_archive_has_other_keys() -> None:
    token = SigningKey().sign(RECORD, ISSUER, NOW)

    with pytest.raises(InvalidReceipt, match="no key of this archive"):
        key_set(published(SigningKey())).verify(token)


def test_a_key_under_the_id_of_another_is_not_believed() -> None:
    true, false = SigningKey(), SigningKey()
    token = true.sign(RECORD, ISSUER, NOW)
    lie = published(false).model_copy(update={"kid": true.kid})

    with pytest.raises(InvalidReceipt, match="no key of this archive"):
        key_set(lie).verify(token)


@pytest.mark.parametrize("days", [-1, 31])
def test_a_key_counts_only_in_its_time(days: int) -> None:
    key = SigningKey()
    token = key.sign(RECORD, ISSUER, NOW + timedelta(days=days))

    with pytest.raises(InvalidReceipt, match="did not count"):
        key_set(published(key)).verify(token)


def test_an_access_token_is_no_receipt() -> None:
    key = OKPKey.generate_key("Ed25519")
    public = PublicReceiptKey(
        x=key.as_dict(private=False)["x"], kid=key.thumbprint(), iat=0, exp=1 << 33, service="a/b"
    )
    claims = jws.extract_compact(SigningKey().sign(RECORD, ISSUER, NOW).encode()).payload
    for header in ({"typ": "at+jwt"}, {"typ": "artstore-receipt+jws", "crit": ["b64"]}):
        token = jws.serialize_compact(
            {"alg": "Ed25519", "kid": public.kid, "b64": True, **header},
            claims,
            key,
            algorithms=["Ed25519"],
        )
        with pytest.raises(InvalidReceipt, match="another kind"):
            key_set(public).verify(token)


def test_a_key_set_that_is_none() -> None:
    for document in (b"", b"[]", b"{}", b'{"keys":[{}]}', b'{"keys":1}'):
        with pytest.raises(InvalidReceipt, match="no key set"):
            KeySet.parse(document)


def test_keys_are_never_the_same() -> None:
    assert len({SigningKey().kid for _ in range(5)}) == 5
    assert replace(key_set(), keys={}) == key_set()
