"""TLS between services: 1.3 only, both sides show a certificate of our CA.

Who a service is stands in its certificate, twice:

* as a URI, `spiffe://artstore/<module>/<instance>`: who calls (`PeerIdentity`);
* as a DNS name, `<module>.artstore.internal`: who answers. A caller asks for this name
  whatever the address is, so TLS itself refuses a wrong server before any byte is sent.
"""

import base64
import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TRUST_DOMAIN = "artstore"
_IDENTITY = re.compile(rf"spiffe://{TRUST_DOMAIN}/([a-z0-9-]{{1,63}})/([a-z0-9-]{{1,63}})")


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: a certificate (chain), its key, and the CA that both sides trust."""

    certificate: Path
    key: Path
    ca: Path


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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    # A resumed session would outlive the removal of its CA.
    context.num_tickets = 0
    _load(context, files)
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For calls to other services."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.ca)


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
