"""Keys and signatures of c2sp.org/signed-note and c2sp.org/tlog-cosignature.

Three kinds, told apart by the first byte of the public key:

* 1: Ed25519 over the text of a note;
* 4: Ed25519 over a checkpoint and a time: a witness says "I saw this tree then";
* 6: ML-DSA-44 over the same, for the day when a quantum computer breaks Ed25519.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from artstore.core.tlog.errors import BadSignature, InvalidKey, InvalidNote
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.encoding import decode_base64, encode_base64

SEED_BYTES = 32
TIMESTAMP_MAX = (1 << 63) - 1
SECRET_PREFIX = "PRIVATE+KEY"  # noqa: S105  what every secret key begins with


class Algorithm(IntEnum):
    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44_COSIGNATURE = 0x06

    @property
    def is_timed(self) -> bool:
        return self is not Algorithm.ED25519

    @property
    def public_bytes(self) -> int:
        return 1312 if self is Algorithm.ML_DSA_44_COSIGNATURE else 32


class _Public(Protocol):
    def verify(self, signature: bytes, data: bytes) -> None: ...


@dataclass(frozen=True)
class VerifierKey:
    """A public key with the name it signs under."""

    name: str
    algorithm: Algorithm
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `<name>+<key id>+<base64>`. Raises `InvalidKey`."""
        name, key_id, algorithm, public = _parse(text.strip().split("+", 2), text)
        key = cls(name, algorithm, public)
        if len(public) != algorithm.public_bytes or key.key_id != key_id:
            raise InvalidKey(f"the key of {name} is damaged")
        _public(key)
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_tagged(self.algorithm, self.public)}"

    @property
    def key_id(self) -> bytes:
        tagged = bytes([self.algorithm]) + self.public
        return sha256(self.name.encode() + b"\n" + tagged).digest()[:4]

    def verify(self, text: str, signature: bytes) -> int | None:
        """The time in a cosignature (seconds since 1970), `None` of a plain signature.

        Raises:
            BadSignature: This key did not sign this text.
        """
        timestamp: int | None = None
        if self.algorithm.is_timed:
            timestamp, signature = _split_time(self.name, signature)
        message = _message(self.name, self.algorithm, text, timestamp or 0)
        try:
            _public(self).verify(signature, message)
        except InvalidSignature:
            raise BadSignature(f"the signature of {self.name} is false") from None
        return timestamp


@dataclass(frozen=True)
class SigningKey:
    """A secret key. Its text form is that of Go's `sumdb/note`."""

    name: str
    algorithm: Algorithm
    seed: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"

    @classmethod
    def from_seed(cls, name: str, algorithm: Algorithm, seed: bytes) -> Self:
        """`seed`: 32 bytes from a secure source. Raises `InvalidKey` for an unusable name."""
        check_key_name(name)
        if len(seed) != SEED_BYTES:
            raise InvalidKey(f"a seed has {SEED_BYTES} bytes")
        return cls(name, algorithm, seed)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `PRIVATE+KEY+<name>+<key id>+<base64>`. Raises `InvalidKey`, never quoting it."""
        secret = text.strip()
        if not secret.startswith(f"{SECRET_PREFIX}+"):
            raise InvalidKey(f"a secret key begins with {SECRET_PREFIX}")
        parts = secret.removeprefix(f"{SECRET_PREFIX}+").split("+", 2)
        name, key_id, algorithm, seed = _parse(parts, "a secret key")
        key = cls.from_seed(name, algorithm, seed)
        if key.verifier.key_id != key_id:
            raise InvalidKey(f"the secret key of {name} is damaged")
        return key

    def secret_text(self) -> str:
        """What a key file holds."""
        key_id = self.verifier.key_id.hex()
        return f"{SECRET_PREFIX}+{self.name}+{key_id}+{_tagged(self.algorithm, self.seed)}"

    @property
    def verifier(self) -> VerifierKey:
        public = _private(self).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.algorithm, public)

    def sign(self, text: str, timestamp: int) -> bytes:
        """The signature over the text of a note; `timestamp` stands in cosignatures only."""
        signature = _private(self).sign(_message(self.name, self.algorithm, text, timestamp))
        return timestamp.to_bytes(8) + signature if self.algorithm.is_timed else signature


def check_key_name(name: str) -> None:
    """Raises `InvalidKey` unless the name can stand in a signature line."""
    if not name or "+" in name or any(char.isspace() or char < " " for char in name):
        raise InvalidKey("a key's name is not empty and has neither spaces nor a plus sign")


def _parse(parts: list[str], text: str) -> tuple[str, bytes, Algorithm, bytes]:
    try:
        name, key_id, encoded = parts
        tagged = decode_base64(encoded)
        parsed_id = bytes.fromhex(key_id)
        algorithm = Algorithm(tagged[0])
    except (ValueError, IndexError):
        raise InvalidKey(f"{text!r} is not a key, or one of an unknown kind") from None
    check_key_name(name)
    return name, parsed_id, algorithm, tagged[1:]


def _tagged(algorithm: Algorithm, key: bytes) -> str:
    return encode_base64(bytes([algorithm]) + key)


def _split_time(name: str, signature: bytes) -> tuple[int, bytes]:
    timestamp = int.from_bytes(signature[:8])
    if len(signature) <= 8 or not 0 < timestamp <= TIMESTAMP_MAX:
        raise BadSignature(f"the cosignature of {name} has no time")
    return timestamp, signature[8:]


def _message(name: str, algorithm: Algorithm, text: str, timestamp: int) -> bytes:
    """The bytes that are signed."""
    match algorithm:
        case Algorithm.ED25519:
            return text.encode()
        case Algorithm.ED25519_COSIGNATURE:
            return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
        case Algorithm.ML_DSA_44_COSIGNATURE:
            return _subtree_message(name, text, timestamp)


def _subtree_message(name: str, text: str, timestamp: int) -> bytes:
    checkpoint = Checkpoint.parse(text)
    cosigner, origin = name.encode(), checkpoint.origin.encode()
    if len(cosigner) > 255 or len(origin) > 255:
        raise InvalidNote("names of more than 255 bytes cannot be cosigned")
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(cosigner)]) + cosigner,
            struct.pack(">Q", timestamp),
            bytes([len(origin)]) + origin,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def _public(key: VerifierKey) -> _Public:
    try:
        if key.algorithm is Algorithm.ML_DSA_44_COSIGNATURE:
            return MLDSA44PublicKey.from_public_bytes(key.public)
        return Ed25519PublicKey.from_public_bytes(key.public)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKey(f"the key of {key.name} cannot be used: {error}") from None


def _private(key: SigningKey) -> Ed25519PrivateKey | MLDSA44PrivateKey:
    if key.algorithm is Algorithm.ML_DSA_44_COSIGNATURE:
        return MLDSA44PrivateKey.from_seed_bytes(key.seed)
    return Ed25519PrivateKey.from_private_bytes(key.seed)
