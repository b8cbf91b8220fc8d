"""What an authority has issued and what has not ended yet: `issued.jsonl`, a line for each.

Without it a certificate could be revoked only by who still has a copy of it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from artstore.core.tls import PeerIdentity
from artstore.local.pki import CLOCK_SKEW, Leaf, Names, issuer_key_id


@dataclass(frozen=True)
class Issued:
    serial: int
    identity: PeerIdentity
    names: Names
    begins: datetime
    ends: datetime
    authority: bytes
    """Key id of who signed it."""
    folder: Path | None = None
    """Where it lies for another machine, `None`: with the authority itself."""

    @classmethod
    def of(cls, leaf: Leaf, identity: PeerIdentity, names: Names, folder: Path | None) -> "Issued":
        certificate = leaf.certificate
        return cls(
            certificate.serial_number,
            identity,
            names,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            issuer_key_id(certificate) or b"",
            folder,
        )

    @property
    def life(self) -> timedelta:
        return self.ends - self.begins - CLOCK_SKEW

    @property
    def serial_text(self) -> str:
        return f"{self.serial:x}"


def read_register(path: Path) -> list[Issued]:
    """In the order of issue."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [_parsed(json.loads(line)) for line in lines]


def register_text(issued: Iterable[Issued], now: datetime) -> str:
    """Without those that have ended: nobody needs to revoke them."""
    return "".join(json.dumps(_fields(each)) + "\n" for each in issued if each.ends > now)


def _fields(issued: Issued) -> dict[str, object]:
    return {
        "serial": issued.serial_text,
        "module": issued.identity.module,
        "instance": issued.identity.instance,
        "dns": issued.names.dns,
        "addresses": [str(address) for address in issued.names.addresses],
        "begins": issued.begins.isoformat(),
        "ends": issued.ends.isoformat(),
        "authority": issued.authority.hex(),
        "folder": str(issued.folder) if issued.folder else None,
    }


def _parsed(fields: dict[str, str]) -> Issued:
    return Issued(
        int(fields["serial"], 16),
        PeerIdentity(fields["module"], fields["instance"]),
        Names(tuple(fields["dns"]), tuple(map(ip_address, fields["addresses"]))),
        datetime.fromisoformat(fields["begins"]),
        datetime.fromisoformat(fields["ends"]),
        bytes.fromhex(fields["authority"]),
        Path(fields["folder"]) if fields["folder"] else None,
    )
