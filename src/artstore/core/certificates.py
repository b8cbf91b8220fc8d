"""TLS contexts that follow their files: certificates are renewed without a restart."""

import ssl
from collections.abc import Callable
from typing import Final

from cryptography import x509

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import CERTIFICATE_EXPIRY
from artstore.core.tls import TlsFiles, server_context

RELOAD_CHECK_S: Final = 2.0


class LiveContext:
    """A context that follows its files: a renewed certificate or another authority counts
    from the next handshake on. Connections that stand are not touched."""

    def __init__(
        self, files: TlsFiles, make: Callable[[TlsFiles], ssl.SSLContext], clock: Clock
    ) -> None:
        """Raises what `make` raises, if the files are not good at the beginning."""
        self._files = files
        self._make = make
        self._clock = clock
        self._checked_at_s = clock.monotonic_s()
        self._state = self._look()
        self._context = make(files)
        self._tell_expiry()

    def current(self) -> ssl.SSLContext:
        now_s = self._clock.monotonic_s()
        if now_s - self._checked_at_s >= RELOAD_CHECK_S:
            self._checked_at_s = now_s
            self._follow()
        return self._context

    def _follow(self) -> None:
        try:
            state = self._look()
            if state == self._state:
                return
            self._context = self._make(self._files)
            self._tell_expiry()
        except (OSError, ValueError) as error:
            # Half-way through being replaced, or broken for good: the old one serves on, and
            # its expiry is a metric that somebody watches. (SSLError is an OSError.)
            get_logger().warning("certificate files cannot be used", cause=str(error))
            return
        self._state = state
        get_logger().info("certificate files read again")

    def _look(self) -> tuple[tuple[int, int], ...]:
        found = []
        for file in (self._files.certificate, self._files.key, self._files.ca):
            facts = file.stat()
            found.append((facts.st_mtime_ns, facts.st_ino))
        return tuple(found)

    def _tell_expiry(self) -> None:
        certificate = x509.load_pem_x509_certificate(self._files.certificate.read_bytes())
        CERTIFICATE_EXPIRY.set(certificate.not_valid_after_utc.timestamp())


def live_server_context(files: TlsFiles, clock: Clock) -> ssl.SSLContext:
    """As `server_context`, following its files for as long as the listener lives."""
    live = LiveContext(files, server_context, clock)

    def choose(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        connection.context = live.current()

    first = server_context(files)
    first.sni_callback = choose
    return first
