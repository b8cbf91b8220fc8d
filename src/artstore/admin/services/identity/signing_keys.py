"""The keys that sign tokens: made once, encrypted at rest, published as a JWKS."""

import asyncio
from dataclasses import dataclass
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
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.audit import AuditKind, Target
from artstore.core.tokens import ALGORITHM, TOKEN_TYPE

KEY_BITS = 3072
"""128-bit strength (ASVS 11.2.3)."""
RELOAD_AFTER_S = 30.0
"""Another instance may have rotated the keys; the next key is published long before."""


@dataclass(frozen=True)
class LoadedKeys:
    active: RSAKey
    public: list[dict[str, Any]]


class KeyRing:
    """All signing keys of the installation. Call `prepare` once before anything else."""

    def __init__(self, database: Database, seal: Seal, clock: Clock, trail: Trail) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock
        self._trail = trail
        self._keys: LoadedKeys | None = None
        self._loaded_at_s = float("-inf")
        self._loading = asyncio.Lock()

    async def prepare(self) -> None:
        """Load the keys; make the first one where there is none.

        Raises:
            ConfigurationError: The key-encryption key does not fit the database.
            Unavailable: The database is away.
        """
        async with self._database.session() as session:
            await repository.lock(session)
            stored = await repository.all_keys(session)
            if not any(key.state == "active" for key in stored):
                key = await asyncio.to_thread(self._make_key)
                await repository.add_active(session, key, self._clock.now())
                target = Target(type="token_key", id=key.kid)
                await self._trail.record(session, Who(), Deed(AuditKind.KEY_CREATED, target=target))
                get_logger().info("signing key made", kid=key.kid)
        await self._reload()

    async def jwks(self) -> dict[str, Any]:
        """The public keys, RFC 7517. Also those that do not sign yet or no longer."""
        return {"keys": (await self._current()).public}

    async def sign(self, claims: dict[str, Any]) -> str:
        """An access token with these claims."""
        key = (await self._current()).active
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": key.kid}
        # RSA takes around a millisecond and lets other threads run meanwhile.
        return await asyncio.to_thread(jwt.encode, header, claims, key, [ALGORITHM])

    async def _current(self) -> LoadedKeys:
        if self._keys is None or self._age_s() > RELOAD_AFTER_S:
            async with self._loading:
                if self._keys is None or self._age_s() > RELOAD_AFTER_S:
                    await self._refresh()
        assert self._keys is not None
        return self._keys

    def _age_s(self) -> float:
        return self._clock.monotonic_s() - self._loaded_at_s

    async def _refresh(self) -> None:
        try:
            await self._reload()
        except Unavailable:
            if self._keys is None:
                raise
            # Good keys stay good while the database is away.
            self._loaded_at_s = self._clock.monotonic_s()

    async def _reload(self) -> None:
        async with self._database.session() as session:
            stored = await repository.all_keys(session)
        active = next(key for key in stored if key.state == "active")
        if self._keys is None or self._keys.active.kid != active.kid:
            private_key = self._open(active)
        else:
            private_key = self._keys.active
        self._keys = LoadedKeys(private_key, [key.public_jwk for key in stored])
        self._loaded_at_s = self._clock.monotonic_s()

    def _open(self, stored: StoredKey) -> RSAKey:
        pem = self._seal.open(stored.sealed_private_key, _context(stored.kid))
        return RSAKey.import_key(pem, {"kid": stored.kid})

    def _make_key(self) -> StoredKey:
        private_key = rsa.generate_private_key(65537, KEY_BITS)
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key = RSAKey.import_key(pem)
        kid = key.thumbprint()
        public_jwk = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
        return StoredKey(kid, "active", public_jwk, self._seal.seal(pem, _context(kid)))


def _context(kid: str) -> str:
    return f"signing key {kid}"
