"""Certificates that are followed while the process runs: renewed, revoked and replaced
without a restart."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import CERTIFICATE_EXPIRY
from artstore.core.tls import ShownChain, TlsFiles, server_context

RELOAD_CHECK_S: Final = 2.0
_CRL_END: Final = b"-----END X509 CRL-----"

T = TypeVar("T")


class LiveFiles(Generic[T]):
    """Something that is made of files, and made again when they change."""

    def __init__(self, paths: Sequence[Path], make: Callable[[], T], clock: Clock) -> None:
        """Raises what `make` raises, if the files are not good at the beginning."""
        self._paths = paths
        self._make = make
        self._clock = clock
        self._checked_at_s = clock.monotonic_s()
        self._state = self._look()
        self._made = make()

    def current(self) -> T:
        now_s = self._clock.monotonic_s()
        if now_s - self._checked_at_s >= RELOAD_CHECK_S:
            self._checked_at_s = now_s
            self._follow()
        return self._made

    def _follow(self) -> None:
        try:
            state = self._look()
            if state == self._state:
                return
            self._made = self._make()
        except (OSError, ValueError) as error:
            # Half-way through being replaced, or broken for good: the old one serves on, and
            # its expiry is a metric that somebody watches. (SSLError is an OSError.)
            get_logger().warning("certificate files cannot be used", cause=str(error))
            return
        self._state = state
        get_logger().info("certificate files read again")

    def _look(self) -> tuple[tuple[int, int], ...]:
        found = []
        for file in self._paths:
            facts = file.stat()
            found.append((facts.st_mtime_ns, facts.st_ino))
        return tuple(found)


class LiveContext(LiveFiles[ssl.SSLContext]):
    """A context that follows its files: a renewed certificate, another authority or another
    list of what was revoked counts from the next handshake on."""

    def __init__(
        self, files: TlsFiles, make: Callable[[TlsFiles], ssl.SSLContext], clock: Clock
    ) -> None:
        def build() -> ssl.SSLContext:
            context = make(files)
            tell_expiry(files)
            return context

        super().__init__(files.paths, build, clock)


@dataclass(frozen=True)
class Trust:
    """What a certificate is measured by again, long after its handshake."""

    authorities: frozenset[bytes]
    """SHA-256 of each certificate in the authority file."""
    revoked: frozenset[tuple[bytes, int]]
    """Issuer and serial."""

    @classmethod
    def read(cls, files: TlsFiles) -> Self:
        authorities = x509.load_pem_x509_certificates(files.ca.read_bytes())
        return cls(
            frozenset(each.fingerprint(hashes.SHA256()) for each in authorities),
            frozenset(
                (crl.issuer.public_bytes(), entry.serial_number)
                for crl in read_crls(files.crl)
                for entry in crl
            ),
        )

    def holds(self, shown: ShownChain) -> bool:
        known = not self.authorities.isdisjoint(shown.fingerprints)
        return known and (shown.issuer, shown.serial) not in self.revoked


class LiveServer(LiveFiles[tuple[ssl.SSLContext, Trust]]):
    """The context of a listener and the trust behind it, following their files."""

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        def build() -> tuple[ssl.SSLContext, Trust]:
            made = server_context(files), Trust.read(files)
            tell_expiry(files)
            return made

        super().__init__(files.paths, build, clock)
        self.context = following(lambda: self.current()[0])

    @property
    def trust(self) -> Trust:
        """As it was looked at last."""
        return self._made[1]


def following(current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """For a listener, which keeps the context it is given: each handshake gets the current one."""

    def choose(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        connection.context = current()

    first = current()
    # The very first one would keep its own client authorities for as long as it lives.
    first.sni_callback = choose
    return first


def read_crls(path: Path | None) -> list[x509.CertificateRevocationList]:
    """All of a PEM file, which holds one for each authority that issues."""
    if path is None:
        return []
    parts = path.read_bytes().split(_CRL_END)[:-1]
    return [x509.load_pem_x509_crl(part + _CRL_END) for part in parts]


def tell_expiry(files: TlsFiles) -> None:
    """Of two authorities, one is about to replace the other: the later end counts. Of two
    lists each is needed: the earlier."""
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    authorities = x509.load_pem_x509_certificates(files.ca.read_bytes())
    ends = [each.next_update_utc for each in read_crls(files.crl)]
    CERTIFICATE_EXPIRY.labels("certificate").set(leaf.not_valid_after_utc.timestamp())
    last = max(each.not_valid_after_utc for each in authorities)
    CERTIFICATE_EXPIRY.labels("authority").set(last.timestamp())
    if known := [end for end in ends if end is not None]:
        CERTIFICATE_EXPIRY.labels("revocations").set(min(known).timestamp())
