"""Which certificates of modules the edge takes: each by itself, not what an authority signed.

Caddy knows no lists of revocations. But a certificate that is trusted by itself and by nothing
else ends by being left out. So the edge is given those that are good: that modules show, that they
are about to show, and former ones that somebody may still show for a moment.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

BEHIND_THE_EDGE: Final = frozenset({"admin", "ingester", "query"})


def read(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return []


def bundle(
    known: Iterable[x509.Certificate],
    now: datetime,
    is_trusted: Callable[[x509.Certificate], bool],
) -> bytes:
    """PEM of those that have not ended. `is_trusted`: of an authority of ours, and not revoked."""
    good = {
        each.serial_number: each.public_bytes(serialization.Encoding.PEM)
        for each in known
        if now < each.not_valid_after_utc and is_trusted(each)
    }
    return b"".join(good[serial] for serial in sorted(good))
