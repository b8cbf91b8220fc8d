"""Would a process accept these files, and would others accept the process?

For certificates from elsewhere: `artstore pki check`. Looks with the same eyes as a module.
"""

import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from artstore.core.certificates import read_crls
from artstore.core.tls import PeerIdentity, TlsFiles, client_context, server_context, server_name
from artstore.core.tls import identity_of as identity_in
from artstore.local.certificate_files import AUTHORITY_FILE, CERTIFICATE_FILE, CRL_FILE, KEY_FILE
from artstore.local.pki import CLIENTS_ONLY, renewal_due

_STEPS_MAX: Final = 10


def files_in(folder: Path) -> TlsFiles:
    crl = folder / CRL_FILE
    return TlsFiles(
        folder / CERTIFICATE_FILE,
        folder / KEY_FILE,
        folder / AUTHORITY_FILE,
        crl if crl.exists() else None,
    )


def identity_of(certificate: x509.Certificate) -> PeerIdentity | None:
    names = _names(certificate)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    return identity_in({"subjectAltName": [("URI", uri) for uri in uris]})


def faults(files: TlsFiles, now: datetime) -> Iterator[str]:
    """What is wrong, in words for whoever issued the certificate; nothing if all is well."""
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        server_context(files)
    except FileNotFoundError as error:
        yield f"{error.filename} is missing"
        return
    except (OSError, ValueError) as error:
        yield f"the files cannot be used: {error}"
        return
    yield from _names_missing(certificate)
    yield from _purposes_missing(certificate)
    if now < certificate.not_valid_before_utc:
        yield "it is not valid yet"
    elif now >= certificate.not_valid_after_utc:
        yield "it has ended"
    elif now >= renewal_due(certificate, now):
        yield "two thirds of its life are over, and nobody renewed it"
    for crl in read_crls(files.crl):
        if crl.next_update_utc is not None and now >= crl.next_update_utc:
            yield "its list of revocations has ended: no certificate counts any more"
    yield from _handshake_faults(files, identity_of(certificate))


def _names_missing(certificate: x509.Certificate) -> Iterator[str]:
    identity = identity_of(certificate)
    if identity is None:
        yield "it needs exactly one URI among its names: spiffe://artstore/<module>/<instance>"
        return
    names = _names(certificate)
    dns = names.get_values_for_type(x509.DNSName) if names else []
    if identity.module not in CLIENTS_ONLY and server_name(identity.module) not in dns:
        yield f"it needs the DNS name {server_name(identity.module)}: callers ask for it"


def _purposes_missing(certificate: x509.Certificate) -> Iterator[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.CLIENT_AUTH not in found.value:
        yield "it needs the extended key usage clientAuth"
    identity = identity_of(certificate)
    serves = identity is None or identity.module not in CLIENTS_ONLY
    if serves and ExtendedKeyUsageOID.SERVER_AUTH not in found.value:
        yield "it needs the extended key usage serverAuth"


def _handshake_faults(files: TlsFiles, identity: PeerIdentity | None) -> Iterator[str]:
    """The process meets itself, from both ends."""
    if identity is None or identity.module in CLIENTS_ONLY:
        return
    server_side, client_side = _Side(), _Side()
    server = server_context(files).wrap_bio(server_side.into, server_side.out, server_side=True)
    client = client_context(files).wrap_bio(
        client_side.into, client_side.out, server_hostname=server_name(identity.module)
    )
    try:
        for _ in range(_STEPS_MAX):
            _step(client)
            server_side.into.write(client_side.out.read())
            _step(server)
            client_side.into.write(server_side.out.read())
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", None) or error.reason
        yield f"a handshake with itself fails: {reason}"


class _Side:
    def __init__(self) -> None:
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()


def _step(tls: ssl.SSLObject) -> None:
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
