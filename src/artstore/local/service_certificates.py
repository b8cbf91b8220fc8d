"""Certificates of this machine's services, as one more kind of credential.

The authority makes the new ones beside the old ones, which are good until they are revoked. No key
is in the record of a rotation, only serial numbers: begun again, it finds which are replaced.
"""

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from artstore.core.clock import Clock
from artstore.core.tls import PeerIdentity
from artstore.local.certificate_register import Issued
from artstore.local.certificate_store import FOLLOWED, CertificateStore
from artstore.local.failures import StackFailure
from artstore.local.ports import LISTEN_ADDRESS
from artstore.rotation.procedure import RotationFailed


@dataclass
class ServiceCertificates:
    """All at once: they take the same while to be followed."""

    identities: Sequence[PeerIdentity]
    ports: Mapping[str, int]
    """Where an instance listens; those that are missing only call."""
    certificates: CertificateStore
    clock: Clock
    name: str = "certificates"
    kind: str = "certificate"

    def current(self) -> str:
        return " ".join(f"{self._present(each).serial_number:x}" for each in self.identities)

    def changed_at(self) -> datetime:
        return min(self._present(each).not_valid_before_utc for each in self.identities)

    def make(self, old: str) -> str:
        return f"instead of {old}"

    def create(self, new: str) -> None:
        old = self._issued(new.removeprefix("instead of "))
        self.certificates.announce(old, self.clock.now())

    def verify(self, new: str) -> None:
        """Nothing is announced without its own key. The edge has to hear of it."""
        if (until := self.certificates.announced_until()) is not None:
            time.sleep(max(0.0, (until - self.clock.now()).total_seconds()))

    def switch(self, new: str) -> None:
        self.certificates.put_announced(self.clock.now())

    def users_of(self, old: str) -> list[str]:
        folder = self.certificates.files(self.identities[0].instance).certificate.parent
        newest = max(file.stat().st_mtime for file in folder.glob("*.crt"))
        time.sleep(max(0.0, newest + FOLLOWED.total_seconds() - time.time()))
        serials = set(old.split())
        return [name for name, port in self.ports.items() if self._shown_at(port) in serials]

    def revoke(self, old: str, new: str) -> None:
        self.certificates.revoke(self._issued(old), x509.ReasonFlags.superseded, self.clock.now())

    def _issued(self, serials: str) -> list[Issued]:
        found = []
        for serial in serials.split():
            try:
                found += self.certificates.find(serial, self.clock.now())
            except StackFailure:
                continue  # It has ended by itself.
        return found

    def _present(self, identity: PeerIdentity) -> x509.Certificate:
        present = self.certificates.certificate(identity.instance)
        if present is None:
            raise RotationFailed(f"{identity.instance} has no certificate yet: artstore up")
        return present

    @staticmethod
    def _shown_at(port: int) -> str | None:
        try:
            pem = ssl.get_server_certificate((LISTEN_ADDRESS, port), timeout=5)
        except OSError:
            return None  # Whoever does not run begins with the new one.
        return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:x}"
