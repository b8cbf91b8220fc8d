"""What the own certificate authority signs: its certificates and lists of what it revoked.

Pure: no files, no clock (`local.certificate_store` has them). One P-256 authority signs
short-lived leaves. A leaf names its service twice (see
`core.tls`): as a URI for the services it calls, as a DNS name for those that call it.
Extensions follow RFC 5280 closely enough for `VERIFY_X509_STRICT`, which Python 3.13 made
the default.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from secrets import token_hex
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from artstore.core.tls import PeerIdentity, server_name

AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=7)
RENEWAL_SHARE: Final = 2 / 3
"""A leaf is renewed when this share of its life is over."""
CRL_LIFE: Final = timedelta(days=30)
"""A list of what was revoked is good for so long. It is renewed by the same share, so that other
machines have ten days to fetch the next one."""
CLOCK_SKEW: Final = timedelta(minutes=5)
CLIENTS_ONLY: Final = frozenset({"operator", "monitoring"})
"""Modules that call but never listen."""


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def key_id(self) -> bytes:
        return key_id(self.certificate)


@dataclass(frozen=True)
class Leaf:
    certificate: x509.Certificate
    key_pem: bytes

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Names:
    """Under which a server can be reached, besides its `<module>.artstore.internal`."""

    dns: tuple[str, ...] = ()
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()


THIS_MACHINE: Final = Names(("localhost",), (ip_address("127.0.0.1"), ip_address("::1")))


def create_authority(now: datetime, life: timedelta = AUTHORITY_LIFE) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two of them are told apart by name, too: Go and OpenSSL look for an issuer by it.
    name = _name(f"ArtStore authority {now:%Y-%m-%d} {token_hex(4)}")
    certificate = (
        _builder(name, name, key.public_key(), now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def issue(
    authority: Authority,
    identity: PeerIdentity,
    now: datetime,
    life: timedelta = LEAF_LIFE,
    names: Names = THIS_MACHINE,
) -> Leaf:
    """A new key and its certificate for one service. It ends no later than its authority."""
    ends = min(now + life, authority.certificate.not_valid_after_utc)
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    certificate = (
        _builder(_name(identity.instance), issuer.subject, key.public_key(), now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_purposes(identity), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(identity, names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return Leaf(certificate, key_pem(key))


def sign_revocations(
    authority: Authority, entries: Iterable[x509.RevokedCertificate], now: datetime
) -> x509.CertificateRevocationList:
    """The whole list of what `authority` revoked. A later one has a higher number."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - CLOCK_SKEW)
        .next_update(now + CRL_LIFE)
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256())


def revoked_entry(serial: int, now: datetime, reason: x509.ReasonFlags) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
    if reason is not x509.ReasonFlags.unspecified:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


def renewal_due(certificate: x509.Certificate, now: datetime) -> datetime:
    """When the certificate has to be renewed; in the past means now."""
    begins = certificate.not_valid_before_utc
    if now < begins:
        # Made by a clock that was ahead: it is no use to anyone until then.
        return now
    return begins + (certificate.not_valid_after_utc - begins) * RENEWAL_SHARE


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ArtStore"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _names(identity: PeerIdentity, names: Names) -> list[x509.GeneralName]:
    uri = x509.UniformResourceIdentifier(identity.uri)
    if identity.module in CLIENTS_ONLY:
        return [uri]
    every_dns = dict.fromkeys((*names.dns, server_name(identity.module)))
    return [uri, *map(x509.DNSName, every_dns), *map(x509.IPAddress, names.addresses)]


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


def issuer_key_id(certificate: x509.Certificate) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return found.value.key_identifier


def key_id(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
