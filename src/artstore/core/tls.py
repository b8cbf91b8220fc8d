"""TLS between services: 1.3 only, both sides show a certificate of our CA.

Who a service is stands in its certificate, twice:

* as a URI, `spiffe://artstore/<module>/<instance>`: who calls (`PeerIdentity`);
* as a DNS name, `<module>.artstore.internal`: who answers. A caller asks for this name
  whatever the address is, so TLS itself refuses a wrong server before any byte is sent.

A certificate may come with intermediate ones behind it, and the authority file may hold several
authorities: two while one replaces the other.
"""

import base64
import hashlib
import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509

TRUST_DOMAIN = "artstore"
_IDENTITY = re.compile(rf"spiffe://{TRUST_DOMAIN}/([a-z0-9-]{{1,63}})/([a-z0-9-]{{1,63}})")

_STRENGTH: Final = "DEFAULT:@SECLEVEL=2"
"""No RSA below 2048 bits, no SHA-1: 112 bits, whatever the machine's own configuration allows."""
_DER: Final = 2


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: a certificate (chain), its key, and the CA that both sides trust."""

    certificate: Path
    key: Path
    ca: Path
    crl: Path | None = None
    """What was revoked: a list of each authority that issues. With it a certificate counts only
    where its issuer's list is there and has not ended."""

    @property
    def paths(self) -> tuple[Path, ...]:
        some = (self.certificate, self.key, self.ca, self.crl)
        return tuple(path for path in some if path is not None)


@dataclass(frozen=True)
class PeerIdentity:
    module: str
    instance: str
    thumbprint: str | None = field(default=None, compare=False)
    """SHA-256 of the certificate in base64url, as RFC 8705 has it, where a connection shows one."""

    @property
    def uri(self) -> str:
        return f"spiffe://{TRUST_DOMAIN}/{self.module}/{self.instance}"


def server_name(module: str) -> str:
    """The DNS name that every certificate of a module carries."""
    return f"{module}.artstore.internal"


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For listeners.

    A client without a certificate gets through the handshake, so that health can be asked
    by anyone; `core.web.middleware` refuses it everywhere else. A certificate that is
    shown but not valid ends the handshake.
    """
    context = public_context(files.certificate, files.key)
    context.verify_mode = ssl.CERT_OPTIONAL
    _trust(context, files)
    return context


def public_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For a listener that serves strangers and asks nobody for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A resumed session would outlive the removal of its CA.
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For calls to other services."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.key)
    _trust(context, files)
    return context


def _trust(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.set_ciphers(_STRENGTH)
    context.load_verify_locations(files.ca)
    # What the file holds is trusted, also where that is an intermediate authority (Vault) and
    # the root stays in a safe.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if files.crl is not None:
        context.load_verify_locations(files.crl)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


@dataclass(frozen=True)
class ShownChain:
    """What a client showed in a handshake that was good: enough to judge it again later."""

    fingerprints: frozenset[bytes]
    """SHA-256 of each certificate from the leaf to the authority that was trusted."""
    issuer: bytes
    serial: int
    ends_at_s: float
    """Of the leaf, in seconds since 1970."""
    is_authority: bool

    @classmethod
    def of(cls, tls: ssl.SSLObject) -> Self | None:
        der = tls.getpeercert(binary_form=True)
        if der is None:
            return None
        leaf = x509.load_der_x509_certificate(der)
        return cls(
            frozenset(hashlib.sha256(each).digest() for each in _verified_chain(tls)),
            leaf.issuer.public_bytes(),
            leaf.serial_number,
            leaf.not_valid_after_utc.timestamp(),
            _is_authority(leaf),
        )


def _verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    if sys.version_info >= (3, 13):
        return list(tls.get_verified_chain())
    # The same, before it became a public name.
    chain = tls._sslobj.get_verified_chain()  # type: ignore[attr-defined, unused-ignore]  # noqa: SLF001
    return [certificate.public_bytes(_DER) for certificate in chain]


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found.value.ca


def peer_identity(tls: ssl.SSLObject) -> PeerIdentity | None:
    """Who is at the other end, and by which certificate."""
    identity, der = identity_of(tls.getpeercert()), tls.getpeercert(binary_form=True)
    if identity is None or der is None:
        return None
    digest = base64.urlsafe_b64encode(hashlib.sha256(der).digest())
    return replace(identity, thumbprint=digest.rstrip(b"=").decode())


def identity_of(certificate: Mapping[str, Any] | None) -> PeerIdentity | None:
    """The identity in a certificate as `SSLObject.getpeercert()` gives it.

    `None` without a certificate, and for one that does not carry exactly one identity.
    """
    names = certificate.get("subjectAltName", ()) if certificate else ()
    uris = [value for kind, value in names if kind == "URI"]
    match = _IDENTITY.fullmatch(uris[0]) if len(uris) == 1 else None
    return PeerIdentity(match[1], match[2]) if match else None
