"""Deposit receipts: what the archive signs for whoever gives it a document.

A receipt is a JWS in compact form (docs/formats/deposit-receipt.md). It is made for each upload,
so it is put together by hand: about 30 microseconds, nearly all of them the signature.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from artstore.core.model.file import FileRecord, Sha256, Text
from artstore.core.model.ids import CollectionName, FileIdField

ALGORITHM: Final = "Ed25519"
"""RFC 9864."""
RECEIPT_TYPE: Final = "artstore-receipt+jws"
RECEIPT_BYTES_MAX: Final = 16 << 10
KEY_VALID_FOR: Final = timedelta(days=30)
"""So long may a key sign. What it has signed stays true for good."""
CLOCK_SKEW: Final = timedelta(minutes=5)
"""Between whoever signs and whoever registered the key."""
KEY_TYPE: Final = "receipt_key"
"""The `target` of the event that a key was registered."""


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class InvalidReceipt(Exception):
    """The message is for whoever shows the receipt."""


class ReceiptDigest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    alg: Literal["sha256"]
    value: Sha256


class Receipt(BaseModel):
    """What was signed. Nothing personal but the id of the account."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    iss: Text
    """Which archive."""
    iat: int
    """When it was signed, in seconds since 1970."""
    file_id: FileIdField
    collection: CollectionName
    size: int = Field(ge=0)
    digests: tuple[ReceiptDigest, ...] = Field(min_length=1)
    deposited_at: Text
    """As `uploaded_at` in the document's attr.json."""
    account: Text
    """As `uploaded_by.subject` there."""

    @property
    def sha256(self) -> str:
        return self.digests[0].value

    @property
    def signed_at(self) -> datetime:
        return datetime.fromtimestamp(self.iat, UTC)


class PublicReceiptKey(BaseModel):
    """A key of the published set (RFC 7517); `iat` and `exp` as in its historical form."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    kid: str
    alg: Literal["Ed25519"] = "Ed25519"
    use: Literal["sig"] = "sig"
    iat: int
    exp: int
    service: str
    """Who signs with it, `<module>/<instance>`."""


class SigningKey:
    """A new key. Its private half never leaves this object."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_x = _encode(raw).decode()
        self.kid = thumbprint(self.public_x)
        header = {"alg": ALGORITHM, "kid": self.kid, "typ": RECEIPT_TYPE}
        self._head = _encode(orjson.dumps(header)) + b"."

    def sign(self, record: FileRecord, issuer: str, now: datetime) -> str:
        claims = {
            "iss": issuer,
            "iat": int(now.timestamp()),
            "file_id": record.file_id,
            "collection": record.collection,
            "size": record.size,
            "digests": [{"alg": item.alg, "value": item.value} for item in record.digests],
            "deposited_at": record.uploaded_at,
            "account": record.uploaded_by.subject,
        }
        signed = self._head + _encode(orjson.dumps(claims, option=orjson.OPT_UTC_Z))
        return (signed + b"." + _encode(self._private.sign(signed))).decode()


@dataclass(frozen=True)
class KeySet:
    """The published keys, by id."""

    keys: Mapping[str, PublicReceiptKey]

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Raises `InvalidReceipt` for what is no key set."""
        try:
            found = [PublicReceiptKey.model_validate(key) for key in orjson.loads(document)["keys"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidReceipt("the keys are no key set of deposit receipts") from error
        return cls({key.kid: key for key in found})

    def verify(self, token: str) -> Receipt:
        """What a receipt says, if one of these keys has signed it in its time.

        Raises:
            InvalidReceipt: It has not.
        """
        parts = read_parts(token)
        key = self.keys.get(parts.kid)
        if key is None or thumbprint(key.x) != parts.kid:
            raise InvalidReceipt("no key of this archive has signed the receipt")
        check_signature(parts, key.x)
        at = parts.receipt.signed_at
        since, until = (datetime.fromtimestamp(moment, UTC) for moment in (key.iat, key.exp))
        if not since - CLOCK_SKEW <= at <= until + CLOCK_SKEW:
            raise InvalidReceipt("the receipt was signed at a time when its key did not count")
        return parts.receipt


@dataclass(frozen=True)
class Parts:
    """Of a receipt whose signature was not checked yet."""

    kid: str
    receipt: Receipt
    signed: bytes
    signature: bytes


def read_parts(token: str) -> Parts:
    """Raises `InvalidReceipt` for anything but the one form."""
    if len(token) > RECEIPT_BYTES_MAX or token.count(".") != 2:
        raise InvalidReceipt("this is no deposit receipt")
    head, payload, signature = token.encode("ascii", "replace").split(b".")
    try:
        header = orjson.loads(_decode(head))
        receipt = Receipt.model_validate_json(_decode(payload))
        found = Parts(str(header["kid"]), receipt, head + b"." + payload, _decode(signature))
    except (ValueError, ValidationError, KeyError, TypeError) as error:
        raise InvalidReceipt("this is no deposit receipt, or it is damaged") from error
    if (header.get("alg"), header.get("typ")) != (ALGORITHM, RECEIPT_TYPE) or "crit" in header:
        raise InvalidReceipt("this is another kind of signed text, not a deposit receipt")
    return found


def check_signature(parts: Parts, public_x: str) -> None:
    """Raises `InvalidReceipt`."""
    try:
        key = Ed25519PublicKey.from_public_bytes(_decode(public_x.encode()))
        key.verify(parts.signature, parts.signed)
    except (InvalidSignature, ValueError) as error:
        raise InvalidReceipt("the signature of the receipt is false: it was changed") from error


def thumbprint(public_x: str) -> str:
    """RFC 7638."""
    members = b'{"crv":"Ed25519","kty":"OKP","x":"%b"}' % public_x.encode()
    return _encode(hashlib.sha256(members).digest()).decode()


def key_details(key: PublicReceiptKey) -> dict[str, Any]:
    """What the audit event of a new key says: enough to check receipts by the log alone."""
    return {"public_key": key.x, "service": key.service, "valid_until": key.exp}


def _encode(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    """Only the one spelling: no padding, no stray bits."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if _encode(data) != text:
        raise ValueError("not the one spelling")
    return data
