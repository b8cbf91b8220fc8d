"""Codes that people read and type: one-time passwords (RFC 6238) and recovery codes."""

import base64
import hashlib
import hmac
import os
from datetime import datetime
from typing import Final

import pyotp

STEP_S: Final = 30
DRIFT_STEPS: Final = 1
"""A clock may be half a minute wrong, to either side."""
SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 15
"""120 random bits: a fast hash of one gives nothing away."""
_ISSUER: Final = "ArtStore"


def new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def shown_secret(secret: bytes) -> str:
    return base64.b32encode(secret).decode()


def setup_uri(secret: bytes, username: str) -> str:
    """What an authenticator app reads from a picture."""
    return pyotp.TOTP(shown_secret(secret)).provisioning_uri(name=username, issuer_name=_ISSUER)


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """The time step that `code` belongs to; `None` when it is none of those about now."""
    generator = pyotp.TOTP(shown_secret(secret))
    current = int(now.timestamp()) // STEP_S
    matching = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        # All are compared, so that the time tells nothing.
        if hmac.compare_digest(generator.generate_otp(step), code):
            matching = step
    return matching


def new_recovery_codes() -> list[str]:
    return [_spelled(os.urandom(RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)]


def _spelled(random: bytes) -> str:
    text = base64.b32encode(random).decode().lower()
    return "-".join(text[start : start + 6] for start in range(0, len(text), 6))


def recovery_hash(code: str) -> bytes:
    """However it is typed: capitals, blanks and hyphens do not count."""
    plain = "".join(char for char in code.lower() if char.isalnum())
    return hashlib.sha256(f"recovery {plain}".encode("utf-8", "surrogatepass")).digest()


def is_one_time_code(code: str) -> bool:
    return len(code) == 6 and code.isascii() and code.isdigit()
