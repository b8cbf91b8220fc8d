"""What checking a token costs in the steady state, and with 100,000 revocations known.

`python -m benchmarks.token_check`. CPU time, since other work may be beside it. The goal is 20 us.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from artstore.core.clock import SystemClock
from artstore.core.revocation import Revocation, RevocationKind, RevocationMirror
from artstore.core.tokens import ALGORITHM, AUDIENCE, TOKEN_TYPE, TokenVerifier

ISSUER = "https://issuer.bench"
CHECKS = 200_000
REVOKED = 100_000


async def measure(revoked: int) -> float:
    """Microseconds for one check."""
    key = RSAKey.generate_key(3072, {"kid": "one"})
    clock = SystemClock()
    mirror = RevocationMirror(clock)
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    mirror.apply(
        Revocation(seq=number, kind=RevocationKind.TOKEN, value=f"t-{number}", ends_at=ends_at)
        for number in range(1, revoked + 1)
    )

    async def fetch() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False)]}

    verifier = TokenVerifier(fetch, ISSUER, clock, mirror)
    token = _token(key)
    mirror.confirm()
    started_s = time.process_time()
    for _ in range(CHECKS):
        caller = await verifier.verify(token)
        verifier.limits.take(caller.subject, caller.requests_per_minute)
    return (time.process_time() - started_s) / CHECKS * 1e6


def _token(key: RSAKey) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "account:1",
        "scope": "files:read",
        "jti": "the-token",
        "iat": now,
        "exp": now + 1800,
        "rpm": 1_000_000_000,
    }
    header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": "one"}
    return jwt.encode(header, claims, key, [ALGORITHM])


def main() -> None:
    for revoked in (0, REVOKED):
        each_us = asyncio.run(measure(revoked))
        print(f"{each_us:.2f} us for a check of a known token, {revoked} tokens revoked")


if __name__ == "__main__":
    main()
