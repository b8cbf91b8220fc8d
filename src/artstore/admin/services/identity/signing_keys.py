"""The keys that sign tokens, as this process holds them: loaded, opened, published as a JWKS.

Their life, and who ends it: see `key_rotation`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc import jwt
from joserfc.jwk import RSAKey

from artstore.admin.repository import signing_keys as repository
from artstore.admin.repository.signing_keys import StoredKey
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.tokens import ALGORITHM, TOKEN_TYPE

KEY_BITS = 3072
"""128-bit strength (ASVS 11.2.3)."""
RELOAD_AFTER_S = 30.0
"""Another instance may have rotated the keys; the next key is published long before."""


@dataclass(frozen=True)
class LoadedKeys:
    kid: str
    """Of the active one."""
    active: RSAKey
    public: list[dict[str, Any]]


class KeyRing:
    """All signing keys of the installation. Somebody must have made the first one."""

    def __init__(
        self, database: Database, seal: Seal, clock: Clock, is_revoked: Callable[[str], bool]
    ) -> None:
        """`is_revoked`: whether nobody accepts what the key of this id signs."""
        self._database = database
        self._seal = seal
        self._clock = clock
        self._is_revoked = is_revoked
        self._keys: LoadedKeys | None = None
        self._loaded_at_s = float("-inf")
        self._loading = asyncio.Lock()

    async def jwks(self) -> dict[str, Any]:
        """The public keys, RFC 7517. Also those that do not sign yet or no longer."""
        return {"keys": (await self._current()).public}

    async def sign(self, claims: dict[str, Any]) -> str:
        """An access token with these claims."""
        key = (await self._current()).active
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": key.kid}
        # RSA takes more than a millisecond and lets other threads run meanwhile.
        return await asyncio.to_thread(jwt.encode, header, claims, key, [ALGORITHM])

    async def reload(self) -> None:
        """
        Raises:
            ConfigurationError: The key-encryption key does not fit the database.
            Unavailable: The database is away.
        """
        async with self._database.session() as session:
            stored = await repository.all_keys(session)
        active = next(key for key in stored if key.state == "active")
        if self._keys is None or self._keys.kid != active.kid:
            private_key = self._open(active)
        else:
            private_key = self._keys.active
        self._keys = LoadedKeys(active.kid, private_key, [key.public_jwk for key in stored])
        self._loaded_at_s = self._clock.monotonic_s()

    async def _current(self) -> LoadedKeys:
        if self._is_stale():
            async with self._loading:
                if self._is_stale():
                    await self._refresh()
        assert self._keys is not None
        return self._keys

    def _is_stale(self) -> bool:
        if self._keys is None or self._is_revoked(self._keys.kid):
            return True
        return self._clock.monotonic_s() - self._loaded_at_s > RELOAD_AFTER_S

    async def _refresh(self) -> None:
        try:
            await self.reload()
        except Unavailable:
            if self._keys is None or self._is_revoked(self._keys.kid):
                raise
            # Good keys stay good while the database is away.
            self._loaded_at_s = self._clock.monotonic_s()

    def _open(self, stored: StoredKey) -> RSAKey:
        pem = self._seal.open(stored.sealed_private_key, sealed_for(stored.kid))
        return RSAKey.import_key(pem, {"kid": stored.kid})


def make_key(seal: Seal, now: datetime) -> StoredKey:
    """A new `next` key. A second of work: call it from a worker thread."""
    private_key = rsa.generate_private_key(65537, KEY_BITS)
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key = RSAKey.import_key(pem)
    kid = key.thumbprint()
    public_jwk = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
    return StoredKey(kid, "next", public_jwk, seal.seal(pem, sealed_for(kid)), now)


def sealed_for(kid: str) -> str:
    return f"signing key {kid}"
