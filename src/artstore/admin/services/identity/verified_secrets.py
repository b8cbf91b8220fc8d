"""Remembers which secrets were right, so that a busy machine pays for argon2 once.

Only for secrets of machines: they have 256 random bits, so a fast keyed digest in the memory
of this process gives nothing away. What people think up always goes through argon2.
"""

import hmac
import os
from collections import OrderedDict

KEY_BYTES = 32
REMEMBERED_MAX = 10_000


class VerifiedSecrets:
    """Kept by stored hash: a new secret has a new hash, so the old one is forgotten with it."""

    def __init__(self) -> None:
        self._key = os.urandom(KEY_BYTES)
        self._digests: OrderedDict[str, bytes] = OrderedDict()

    def knows(self, stored_hash: str, secret: str) -> bool:
        digest = self._digests.get(stored_hash)
        return digest is not None and hmac.compare_digest(digest, self._digest(secret))

    def remember(self, stored_hash: str, secret: str) -> None:
        self._digests[stored_hash] = self._digest(secret)
        self._digests.move_to_end(stored_hash)
        if len(self._digests) > REMEMBERED_MAX:
            self._digests.popitem(last=False)

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), "sha256")
