"""Client certificates that are wrong in one thing each, by an authority that is right."""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.support.pki import Pki

from artstore.core.private_files import write_private
from artstore.local.pki import Authority, create_authority, key_pem

GOOD_URI = "spiffe://artstore/admin/admin-7"
PEM = serialization.Encoding.PEM
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


@dataclass
class Recipe:
    """A leaf that would be taken, except for what a test changes."""

    signer: Authority
    now: datetime
    names: list[x509.GeneralName] = field(default_factory=lambda: [uri(GOOD_URI)])
    purposes: list[x509.ObjectIdentifier] = field(
        default_factory=lambda: [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    begins: timedelta = timedelta(hours=-1)
    ends: timedelta = timedelta(hours=1)
    is_authority: bool = False
    key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def sign(self) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin-7")]))
            .issuer_name(self.signer.certificate.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + self.begins)
            .not_valid_after(self.now + self.ends)
            .add_extension(x509.BasicConstraints(self.is_authority, None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.signer.certificate.public_key()  # type: ignore[arg-type]
                ),
                critical=False,
            )
        )
        if self.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.purposes), critical=False)
        if self.names:
            names = x509.SubjectAlternativeName(self.names)
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.signer.key, hashes.SHA256())


@dataclass(frozen=True)
class Shown:
    """PEM files for a client."""

    certificate: Path
    key: Path


Make = Callable[[Recipe], list[x509.Certificate]]


def _with(**changes: object) -> Make:
    def make(recipe: Recipe) -> list[x509.Certificate]:
        for name, value in changes.items():
            setattr(recipe, name, value)
        return [recipe.sign()]

    return make


def _self_signed(recipe: Recipe) -> list[x509.Certificate]:
    certificate = create_authority(recipe.now).certificate
    key = recipe.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    recipe.signer = Authority(certificate, key)
    return [recipe.sign()]


def _of_another_authority(recipe: Recipe) -> list[x509.Certificate]:
    recipe.signer = create_authority(recipe.now)
    return [recipe.sign(), recipe.signer.certificate]


def _of_a_namesake(recipe: Recipe) -> list[x509.Certificate]:
    """Another authority's, which calls itself as ours does."""
    stranger = create_authority(recipe.now)
    recipe.signer = Authority(recipe.signer.certificate, stranger.key)
    return [recipe.sign()]


def _of_a_leaf(recipe: Recipe) -> list[x509.Certificate]:
    """A process makes itself an authority."""
    leaf = Recipe(recipe.signer, recipe.now)
    certificate = leaf.sign()
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
    recipe.signer = Authority(certificate, leaf.key)
    return [recipe.sign(), certificate]


def _of_an_authority_below(recipe: Recipe) -> list[x509.Certificate]:
    """Our authority must have none below it: its path length is 0."""
    below = Recipe(recipe.signer, recipe.now, names=[], purposes=[], is_authority=True)
    certificate = below.sign()
    assert isinstance(below.key, ec.EllipticCurvePrivateKey)
    recipe.signer = Authority(certificate, below.key)
    return [recipe.sign(), certificate]


def _damaged(recipe: Recipe) -> list[x509.Certificate]:
    der = bytearray(recipe.sign().public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return [x509.load_der_x509_certificate(bytes(der))]


def _with_sha1(recipe: Recipe) -> list[x509.Certificate]:
    """The library here signs nothing by SHA-1 any more; OpenSSL's command does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ca.crt").write_bytes(recipe.signer.certificate.public_bytes(PEM))
        (folder / "ca.key").write_bytes(key_pem(recipe.signer.key))
        (folder / "names").write_text(
            f"subjectAltName=URI:{GOOD_URI}\nextendedKeyUsage=clientAuth\n"
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin-7")])
        asked = x509.CertificateSigningRequestBuilder().subject_name(subject)
        request = asked.sign(recipe.key, hashes.SHA256()).public_bytes(PEM)
        sign = ["openssl", "x509", "-req", "-sha1", "-days", "1", "-CA", "ca.crt"]
        done = subprocess.run(
            [*sign, "-CAkey", "ca.key", "-extfile", "names"],
            input=request,
            capture_output=True,
            cwd=folder,
            check=True,
        )
        return [x509.load_pem_x509_certificate(done.stdout)]


REFUSED_IN_HANDSHAKE: dict[str, Make] = {
    "self-signed": _self_signed,
    "of another authority": _of_another_authority,
    "of another authority with our name": _of_a_namesake,
    "of a leaf": _of_a_leaf,
    "of an authority below ours": _of_an_authority_below,
    "signature damaged": _damaged,
    "expired": _with(begins=timedelta(days=-2), ends=timedelta(days=-1)),
    "not yet valid": _with(begins=timedelta(days=1), ends=timedelta(days=2)),
    "for servers only": _with(purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
    "for code only": _with(purposes=[ExtendedKeyUsageOID.CODE_SIGNING]),
    "weak key": _with(key=rsa.generate_private_key(65537, 1024)),
    "SHA-1": _with_sha1,
}
REFUSED_BY_NAME: dict[str, Make] = {
    "no name": _with(names=[]),
    "another trust domain": _with(names=[uri("spiffe://example.org/admin/admin-7")]),
    "a DNS name instead": _with(names=[x509.DNSName("admin.artstore.internal")]),
    "two names": _with(names=[uri(GOOD_URI), uri("spiffe://artstore/query/query-7")]),
    "a longer path": _with(names=[uri(f"{GOOD_URI}/x")]),
    "a path that climbs": _with(names=[uri("spiffe://artstore/query/../admin")]),
    "in capitals": _with(names=[uri("spiffe://artstore/ADMIN/admin-7")]),
    "another scheme": _with(names=[uri("https://artstore/admin/admin-7")]),
    "an authority": _with(is_authority=True),
}


def make(pki: Pki, folder: Path, name: str, recipe: Make) -> Shown:
    order = Recipe(pki.authority, pki.now)
    chain = recipe(order)
    stem = name.replace(" ", "-")
    shown = Shown(folder / f"{stem}.crt", folder / f"{stem}.key")
    pem = b"".join(each.public_bytes(PEM) for each in chain)
    write_private(shown.certificate, pem)
    write_private(shown.key, _key_pem(order.key))
    return shown


def _key_pem(key: PrivateKey) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key_pem(key)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def unchanged(recipe: Recipe) -> list[x509.Certificate]:
    """Is taken: else none of the others would prove anything."""
    return [recipe.sign()]
