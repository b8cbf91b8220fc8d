"""Certificates, authorities and lists of revocations of one folder, as they lie there.

Reads and judges, and changes nothing: each file is replaced in one step, so no lock is needed.
What changes them is `certificate_store`.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from artstore.core.certificates import read_crls
from artstore.core.tls import PeerIdentity, TlsFiles
from artstore.local.certificate_register import Issued, read_register
from artstore.local.failures import StackFailure
from artstore.local.pki import Authority, issuer_key_id, key_id, renewal_due

CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"
AUTHORITY_FILE: Final = "ca.crt"
CRL_FILE: Final = "crl.pem"
"""In a folder for another machine; cert-manager and Vault's agent name the first three so."""
MODULES_FILE: Final = "modules.crt"


class NoAuthority(StackFailure):
    """There is none in this folder; the message says how to make one."""


class CertificateFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority_file = folder / AUTHORITY_FILE
        self.crl_file = folder / CRL_FILE
        self.modules_file = folder / MODULES_FILE
        """What the edge trusts."""
        self._register_file = folder / "issued.jsonl"

    def trusted(self) -> list[x509.Certificate]:
        """All that `ca.crt` holds; the one that signs comes first, except in a crash.

        Raises:
            NoAuthority: Nothing was made here yet.
        """
        try:
            return x509.load_pem_x509_certificates(self.authority_file.read_bytes())
        except FileNotFoundError:
            raise NoAuthority(
                f"{self.folder} has no authority. Make one: artstore pki init --folder "
                f"{self.folder}; or name another folder"
            ) from None

    def authorities(self) -> list[Authority]:
        """Those of the bundle whose key is here."""
        keys = [self.key(path.name) for path in sorted(self.folder.glob("ca*.key"))]
        return [
            Authority(certificate, key)
            for certificate in self.trusted()
            for key in [_key_of(certificate, keys)]
            if key is not None
        ]

    def key(self, name: str) -> ec.EllipticCurvePrivateKey | None:
        """One of the authorities' keys, `None` where there is none."""
        path = self.folder / name
        if not path.exists():
            return None
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StackFailure(f"{path} holds no elliptic-curve key")
        return key

    def files(self, instance: str) -> TlsFiles:
        return TlsFiles(
            self.folder / f"{instance}.crt",
            self.folder / f"{instance}.key",
            self.authority_file,
            self.crl_file,
        )

    def certificate(self, instance: str) -> x509.Certificate | None:
        """The present certificate, `None` before the first."""
        return certificate_in(self.files(instance).certificate)

    def issued(self) -> list[Issued]:
        return read_register(self._register_file)

    def find(self, wanted: str, now: datetime) -> list[Issued]:
        """All certificates of an instance, or one by its serial in hexadecimal.

        Raises:
            StackFailure: Nothing that has not ended goes by that name.
        """
        meant = [
            each
            for each in self.issued()
            if each.ends > now and wanted in (each.identity.instance, each.serial_text)
        ]
        if not meant:
            raise StackFailure(
                f"nothing that is valid goes by {wanted!r}. artstore pki list shows all"
            )
        return meant

    def revocations(self) -> list[x509.CertificateRevocationList]:
        return read_crls(self.crl_file) if self.crl_file.exists() else []

    def is_revoked(self, serial: int) -> bool:
        return any(
            crl.get_revoked_certificate_by_serial_number(serial) for crl in self.revocations()
        )

    def _next_files(self, identity: PeerIdentity) -> TlsFiles:
        return self.files(f"{identity.instance}.next")

    def _announced(self, identity: PeerIdentity) -> x509.Certificate | None:
        """What lies beside the present one, with its own key, and was not revoked meanwhile."""
        files = self._next_files(identity)
        found = certificate_in(files.certificate)
        if found is None or not _holds_key_of(found, files.key):
            return None
        return None if self.is_revoked(found.serial_number) else found

    def _is_here(self, identity: PeerIdentity) -> bool:
        return self.files(identity.instance).certificate.exists()

    def _is_used_here(self, issued: Issued) -> bool:
        present = self.certificate(issued.identity.instance)
        return present is not None and present.serial_number == issued.serial

    def _is_usable(self, files: TlsFiles, now: datetime) -> bool:
        """Everybody gets on with it for the moment."""
        present = certificate_in(files.certificate)
        return (
            present is not None
            and issuer_key_id(present) in {key_id(each) for each in self.trusted()}
            and _holds_key_of(present, files.key)
            and present.not_valid_before_utc <= now < present.not_valid_after_utc
            and not self.is_revoked(present.serial_number)
        )

    def _is_good(self, files: TlsFiles, authority: Authority, now: datetime) -> bool:
        """Of the authority that signs, with its own key beside it, not revoked, and far enough
        from its end."""
        present = certificate_in(files.certificate)
        return (
            present is not None
            and issuer_key_id(present) == authority.key_id
            and _holds_key_of(present, files.key)
            and now < renewal_due(present, now)
            and not self.is_revoked(present.serial_number)
        )

    def _newest_in_folders(self) -> list[Issued]:
        newest = {each.folder: each for each in self.issued() if each.folder is not None}
        return list(newest.values())


def certificate_in(file: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except FileNotFoundError:
        return None


def _key_of(
    certificate: x509.Certificate, keys: Iterable[ec.EllipticCurvePrivateKey | None]
) -> ec.EllipticCurvePrivateKey | None:
    return next((key for key in keys if key is not None and is_of(certificate, key)), None)


def is_of(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def _holds_key_of(certificate: x509.Certificate, key_file: Path) -> bool:
    """A crash between two renames can leave a certificate beside another one's key."""
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return False
    return key.public_key() == certificate.public_key()
