"""Encrypts what must not be readable in the database or in its backups."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artstore.core.settings import ConfigurationError

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = b"\x01"


class Seal:
    """AES-256-GCM under the key-encryption key.

    Sealed bytes: format version (1 byte), nonce (12), ciphertext with tag. Random nonces
    are safe for far more keys than an installation makes in its life.
    """

    def __init__(self, key_text: str) -> None:
        """`key_text`: 32 bytes in base64url, as the secret file holds them."""
        self._cipher = AESGCM(_decode(key_text))

    def seal(self, plain: bytes, context: str) -> bytes:
        """`context` says what the bytes are; they open only for the same context."""
        nonce = os.urandom(NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """
        Raises:
            ConfigurationError: Another key sealed it, it was changed, or it is something else.
        """
        version, nonce, body = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if version != _FORMAT:
            raise ConfigurationError("the stored key has a format that this version does not know")
        try:
            return self._cipher.decrypt(nonce, body, context.encode())
        except (InvalidTag, ValueError):
            raise ConfigurationError(
                "the key-encryption key does not open what is stored in the database: "
                "restore the key file that belongs to this database"
            ) from None


def _decode(key_text: str) -> bytes:
    try:
        key = base64.b64decode(key_text + "=" * (-len(key_text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError("the key-encryption key is not 32 bytes in base64url")
    return key
