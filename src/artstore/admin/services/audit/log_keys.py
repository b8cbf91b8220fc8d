"""The keys that sign checkpoints: Ed25519, and ML-DSA-44 for the time after Ed25519.

They lie in the database under the key-encryption key, as those for tokens do, so that whichever
instance writes the log can sign.
"""

import os
from dataclasses import dataclass
from datetime import datetime

from artstore.admin.repository import audit_log
from artstore.admin.repository.audit_log import StoredKey
from artstore.admin.repository.catalogue_files import Connection
from artstore.admin.services.identity.sealing import Seal
from artstore.core.tlog.notes.keys import SEED_BYTES, Algorithm, SigningKey, VerifierKey

ALGORITHMS = (Algorithm.ED25519, Algorithm.ML_DSA_44_COSIGNATURE)


@dataclass(frozen=True)
class LogKeys:
    current: tuple[SigningKey, ...]
    old: tuple[VerifierKey, ...]


async def load_keys(connection: Connection, seal: Seal, origin: str, now: datetime) -> LogKeys:
    """Those in use; new ones where there are none, or all were retired.

    Raises:
        ConfigurationError: The key-encryption key does not fit the database.
    """
    stored = await audit_log.keys(connection)
    if all(key.retired_at is not None for key in stored):
        made = [SigningKey.from_seed(origin, kind, os.urandom(SEED_BYTES)) for kind in ALGORITHMS]
        sealed = [(str(key.verifier), _sealed(seal, key)) for key in made]
        await audit_log.add_keys(connection, sealed, now)
        stored = await audit_log.keys(connection)
    return LogKeys(
        tuple(_opened(seal, key) for key in stored if key.retired_at is None),
        tuple(VerifierKey.parse(key.verifier_key) for key in stored if key.retired_at is not None),
    )


def _sealed(seal: Seal, key: SigningKey) -> bytes:
    return seal.seal(key.secret_text().encode(), sealed_for(str(key.verifier)))


def _opened(seal: Seal, stored: StoredKey) -> SigningKey:
    return SigningKey.parse(seal.open(stored.signing_key, sealed_for(stored.verifier_key)).decode())


def sealed_for(verifier_key: str) -> str:
    return f"audit log key {verifier_key}"
