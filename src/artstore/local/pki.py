"""The stack's own certificate authority and the certificates of its services.

One P-256 authority signs short-lived leaves. A leaf names its service twice (see
`core.tls`): as a URI for the services it calls, as a DNS name for those that call it.
Extensions follow RFC 5280 closely enough for `VERIFY_X509_STRICT`, which Python 3.13 made
the default.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from artstore.core.private_files import write_private, write_private_together
from artstore.core.tls import PeerIdentity, TlsFiles, server_name

AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=7)
RENEWAL_SHARE: Final = 2 / 3
"""A leaf is renewed when this share of its life is over."""
CLOCK_SKEW: Final = timedelta(minutes=5)
CLIENTS_ONLY: Final = frozenset({"operator", "monitoring"})
"""Modules that call but never listen."""


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Leaf:
    certificate_pem: bytes
    key_pem: bytes


def create_authority(now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("ArtStore local authority")
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def issue(
    authority: Authority, identity: PeerIdentity, now: datetime, life: timedelta = LEAF_LIFE
) -> Leaf:
    """A new key and its certificate for one service."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    certificate = (
        _builder(_name(identity.instance), issuer.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_purposes(identity), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(identity)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return Leaf(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def renewal_due(certificate: x509.Certificate, now: datetime) -> datetime:
    """When the certificate has to be renewed; in the past means now."""
    begins = certificate.not_valid_before_utc
    if now < begins:
        # Made by a clock that was ahead: it is no use to anyone until then.
        return now
    return begins + (certificate.not_valid_after_utc - begins) * RENEWAL_SHARE


class CertificateStore:
    """Certificates as files: `ca.crt`, `ca.key`, `<instance>.crt`, `<instance>.key`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority_file = folder / "ca.crt"
        self._authority_key_file = folder / "ca.key"

    def authority(self, now: datetime) -> Authority:
        """The authority, made at the first call."""
        # The certificate is written last: where it is, the key is too.
        if not self.authority_file.exists():
            created = create_authority(now)
            write_private(self._authority_key_file, _key_pem(created.key))
            certificate = created.certificate.public_bytes(serialization.Encoding.PEM)
            write_private(self.authority_file, certificate)
        key = serialization.load_pem_private_key(self._authority_key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._authority_key_file} holds no elliptic-curve key")
        certificate_pem = self.authority_file.read_bytes()
        return Authority(x509.load_pem_x509_certificate(certificate_pem), key)

    def files(self, instance: str) -> TlsFiles:
        return TlsFiles(
            self._folder / f"{instance}.crt", self._folder / f"{instance}.key", self.authority_file
        )

    def certificate(self, instance: str) -> x509.Certificate | None:
        """The present certificate, `None` before the first."""
        try:
            pem = self.files(instance).certificate.read_bytes()
        except FileNotFoundError:
            return None
        return x509.load_pem_x509_certificate(pem)

    def renew(self, identity: PeerIdentity, now: datetime) -> bool:
        """Issue a certificate if there is none, or if it is due. Says whether it did."""
        present = self.certificate(identity.instance)
        authority = self.authority(now)
        files = self.files(identity.instance)
        if present is not None and self._is_good(present, files.key, authority, now):
            return False
        leaf = issue(authority, identity, now)
        write_private_together({files.key: leaf.key_pem, files.certificate: leaf.certificate_pem})
        return True

    def _is_good(
        self, present: x509.Certificate, key_file: Path, authority: Authority, now: datetime
    ) -> bool:
        """Of our authority, with its own key beside it, and far enough from its end."""
        return (
            _authority_key_id(present) == _subject_key_id(authority.certificate)
            and _holds_key_of(present, key_file)
            and now < renewal_due(present, now)
        )


def _holds_key_of(certificate: x509.Certificate, key_file: Path) -> bool:
    """A crash between two renames can leave a certificate beside another one's key."""
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return False
    return key.public_key() == certificate.public_key()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ArtStore"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _names(identity: PeerIdentity) -> list[x509.GeneralName]:
    uri = x509.UniformResourceIdentifier(identity.uri)
    if identity.module in CLIENTS_ONLY:
        return [uri]
    return [
        uri,
        x509.DNSName("localhost"),
        x509.DNSName(server_name(identity.module)),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
    ]


def _purposes(identity: PeerIdentity) -> x509.ExtendedKeyUsage:
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if identity.module not in CLIENTS_ONLY:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
    return x509.ExtendedKeyUsage(purposes)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_id(certificate: x509.Certificate) -> bytes | None:
    extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    return extension.value.key_identifier


def _subject_key_id(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
