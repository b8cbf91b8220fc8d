"""Encrypts what must not be readable in the database or in its backups."""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artstore.core.logging import get_logger
from artstore.core.settings import ConfigurationError

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = b"\x01"


class Seal:
    """AES-256-GCM under the key-encryption key.

    The secret holds one key, or two lines while one replaces the other: the first one seals, both
    open. It is looked at each time, so that all instances follow a rotation.

    Sealed bytes: format version (1 byte), nonce (12), ciphertext with tag. Random nonces
    are safe for far more keys than an installation makes in its life.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        """`read`: the secret as it is now; 32 bytes in base64url a line.

        Raises:
            ConfigurationError: It is no such key.
        """
        self._read = read
        self._text = read()
        self._keys = _keys_in(self._text)

    @property
    def key_ids(self) -> list[str]:
        """Of the key that seals, and behind it of one that only opens. They tell nothing of it."""
        return [_id(key) for key in self._present()]

    def seal(self, plain: bytes, context: str) -> bytes:
        """`context` says what the bytes are; they open only for the same context."""
        nonce = os.urandom(NONCE_BYTES)
        return _FORMAT + nonce + AESGCM(self._present()[0]).encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """
        Raises:
            ConfigurationError: Another key sealed it, it was changed, or it is something else.
        """
        for key in self._present():
            if (plain := _open(key, sealed, context)) is not None:
                return plain
        raise ConfigurationError(
            "the key-encryption key does not open what is stored in the database: "
            "restore the key file that belongs to this database"
        )

    def is_by_first(self, sealed: bytes, context: str) -> bool:
        """Whether the key that seals now has sealed it."""
        return _open(self._present()[0], sealed, context) is not None

    def _present(self) -> list[bytes]:
        text = self._read()
        if text != self._text:
            self._text = text
            try:
                self._keys = _keys_in(text)
            except ConfigurationError as error:
                # What was good opens still; a restart would not get on with it.
                get_logger().warning("key-encryption key kept from memory", cause=str(error))
        return self._keys


def _id(key: bytes) -> str:
    return hashlib.sha256(b"artstore key-encryption key\n" + key).hexdigest()[:16]


def _open(key: bytes, sealed: bytes, context: str) -> bytes | None:
    version, nonce, body = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    if version != _FORMAT:
        raise ConfigurationError("the stored key has a format that this version does not know")
    try:
        return AESGCM(key).decrypt(nonce, body, context.encode())
    except (InvalidTag, ValueError):
        return None


def _keys_in(text: str) -> list[bytes]:
    return [_decode(line.strip()) for line in text.split("\n")]


def _decode(key_text: str) -> bytes:
    try:
        key = base64.b64decode(key_text + "=" * (-len(key_text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError("the key-encryption key is not 32 bytes in base64url")
    return key
