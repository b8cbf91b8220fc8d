"""Throw-away certificates of a throw-away authority, made by the stack's own code.

`pki` (session): `pki.files("storage", "storage-1")` gives the `TlsFiles` of a service;
the same names give the same files. `pki.stranger(...)` is signed by somebody else.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509 import ReasonFlags
from tests.support.processes import short_folder

from artstore.core.clock import SystemClock
from artstore.core.private_files import private_folder, write_private
from artstore.core.tls import PeerIdentity, TlsFiles
from artstore.local import authority_replacement
from artstore.local.certificate_inspection import files_in
from artstore.local.certificate_store import CertificateStore, Order
from artstore.local.pki import Authority, Names, issue


class Pki:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = SystemClock()
        self._store = CertificateStore(private_folder(folder / "pki"))
        self._other = CertificateStore(private_folder(folder / "other"))
        self._store.authority(self._clock.now())

    @property
    def ca_file(self) -> Path:
        return self._store.authority_file

    @property
    def now(self) -> datetime:
        return self._clock.now()

    @property
    def authority(self) -> Authority:
        return self._store.authority(self.now)

    @property
    def other_ca_file(self) -> Path:
        """Of an authority that nobody here trusts."""
        self._other.authority(self._clock.now())
        return self._other.authority_file

    def files(self, module: str, instance: str | None = None) -> TlsFiles:
        return self._issue(self._store, module, instance)

    def named(self, module: str, instance: str, dns: str) -> TlsFiles:
        """In a folder of its own, as for another machine, with a DNS name of its own."""
        folder = self._folder / f"{instance}-{dns}"
        order = Order(PeerIdentity(module, instance), Names((dns,)), timedelta(days=7), folder)
        self._store.issue_into(order, self._clock.now())
        return files_in(folder)

    def expired(self, module: str, instance: str | None = None) -> TlsFiles:
        """Of the right authority, but past its life."""
        identity = PeerIdentity(module, instance or f"{module}-1")
        now = self._clock.now()
        leaf = issue(
            self._store.authority(now), identity, now - timedelta(days=30), timedelta(days=7)
        )
        files = TlsFiles(
            self._folder / f"{identity.instance}-expired.crt",
            self._folder / f"{identity.instance}-expired.key",
            self.ca_file,
        )
        write_private(files.certificate, leaf.certificate_pem)
        write_private(files.key, leaf.key_pem)
        return files

    def stranger(self, module: str, instance: str | None = None) -> TlsFiles:
        """The right names, signed by another authority; trusts the right one."""
        files = self._issue(self._other, module, instance)
        return TlsFiles(files.certificate, files.key, self.ca_file)

    def revoke(self, instance: str) -> None:
        now = self._clock.now()
        self._store.revoke(self._store.find(instance, now), ReasonFlags.key_compromise, now)

    def replace_authority(self) -> None:
        """All three steps at once; who holds an older certificate is left behind."""
        now = self._clock.now()
        authority_replacement.begin(self._store, now)
        authority_replacement.switch(self._store, now)
        authority_replacement.finish(self._store, now, force=True)

    def _issue(self, store: CertificateStore, module: str, instance: str | None) -> TlsFiles:
        identity = PeerIdentity(module, instance or f"{module}-1")
        store.renew(identity, self._clock.now())
        return store.files(identity.instance)


@pytest.fixture(scope="session")
def pki() -> Iterator[Pki]:
    with short_folder() as folder:
        yield Pki(folder)
