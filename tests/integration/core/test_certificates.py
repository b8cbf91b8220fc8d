"""A running service takes new certificates and another authority, and drops the old one.

`LiveContext` is looked at from both ends of a real handshake on sockets of this process.
"""

import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ReasonFlags
from tests.support.pki import Pki

from artstore.core.certificates import RELOAD_CHECK_S, LiveContext, LiveServer
from artstore.core.clock import SystemClock
from artstore.core.metrics import REGISTRY
from artstore.core.tls import (
    PeerIdentity,
    TlsFiles,
    client_context,
    identity_of,
    server_context,
    server_name,
)
from artstore.local import authority_replacement
from artstore.local.certificate_store import CertificateStore
from artstore.local.pki import CRL_LIFE, create_authority, issue

EXPIRY = "artstore_certificate_expiry_timestamp_seconds"


class SteppedClock(SystemClock):
    elapsed_s = 0.0

    def monotonic_s(self) -> float:
        return self.elapsed_s


class Place:
    """A service's own copy of its files, to be replaced under its feet."""

    def __init__(self, folder: Path, source: TlsFiles) -> None:
        self.files = TlsFiles(folder / "a.crt", folder / "a.key", folder / "ca.crt")
        self.take(source)

    def take(self, source: TlsFiles) -> None:
        for target, origin in zip(self._each(self.files), self._each(source), strict=True):
            neighbour = target.with_suffix(".new")
            shutil.copyfile(origin, neighbour)
            neighbour.replace(target)

    def of_another_authority(self, folder: Path) -> TlsFiles:
        now = SystemClock().now()
        authority = create_authority(now)
        leaf = issue(authority, PeerIdentity("storage", "edit-9"), now, timedelta(days=1))
        files = TlsFiles(folder / "other.crt", folder / "other.key", folder / "other-ca.crt")
        files.certificate.write_bytes(leaf.certificate_pem)
        files.key.write_bytes(leaf.key_pem)
        files.ca.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        return files

    @staticmethod
    def _each(files: TlsFiles) -> tuple[Path, Path, Path]:
        return files.certificate, files.key, files.ca


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str | None, str | None]:
    """Who each side saw: the server's identity, then the client's."""
    left, right = socket.socketpair()
    seen: list[str | None] = []

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as connection:
                connection.recv(1)
                identity = identity_of(connection.getpeercert())
                seen.append(identity.uri if identity else None)
                connection.send(b"y")
        except OSError:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname=server_name("storage")) as connection:
            connection.send(b"x")
            if connection.recv(1) != b"y":
                raise ConnectionResetError("refused")
            identity = identity_of(connection.getpeercert())
    finally:
        right.close()
        thread.join()
    return identity.uri if identity else None, seen[0]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def place(pki: Pki, tmp_path: Path) -> Place:
    return Place(tmp_path, pki.files("storage", "edit-1"))


@pytest.fixture
def after_the_check(clock: SteppedClock) -> Callable[[], None]:
    def step() -> None:
        clock.elapsed_s += RELOAD_CHECK_S

    return step


def test_a_renewed_certificate_is_shown_from_the_next_handshake_on(
    pki: Pki, place: Place, clock: SteppedClock, after_the_check: Callable[[], None]
) -> None:
    server = LiveServer(place.files, clock).context
    client = client_context(pki.files("ingester"))
    assert handshake(server, client)[0] == "spiffe://artstore/storage/edit-1"

    place.take(pki.files("storage", "edit-2"))
    assert handshake(server, client)[0] == "spiffe://artstore/storage/edit-1"
    after_the_check()

    assert handshake(server, client)[0] == "spiffe://artstore/storage/edit-2"


def test_an_authority_that_was_removed_opens_no_door(
    pki: Pki,
    place: Place,
    clock: SteppedClock,
    after_the_check: Callable[[], None],
    tmp_path: Path,
) -> None:
    server = LiveServer(place.files, clock).context
    former = client_context(pki.files("ingester"))
    former.check_hostname = False
    former.verify_mode = ssl.CERT_NONE
    assert handshake(server, former)[1] == "spiffe://artstore/ingester/ingester-1"

    place.take(place.of_another_authority(tmp_path))
    after_the_check()

    with pytest.raises(OSError, match=r"(?i)unknown ca|refused|reset|broken pipe|EOF occurred"):
        handshake(server, former)


def test_a_caller_follows_its_files_too(
    pki: Pki, place: Place, clock: SteppedClock, after_the_check: Callable[[], None]
) -> None:
    live = LiveContext(place.files, client_context, clock)
    server = server_context(pki.files("storage", "edit-1"))
    assert handshake(server, live.current())[1] == "spiffe://artstore/storage/edit-1"

    place.take(pki.files("query", "query-7"))
    after_the_check()

    assert handshake(server, live.current())[1] == "spiffe://artstore/query/query-7"


def test_files_that_do_not_fit_together_change_nothing(
    pki: Pki, place: Place, clock: SteppedClock, after_the_check: Callable[[], None]
) -> None:
    live = LiveContext(place.files, server_context, clock)
    before = live.current()

    shutil.copyfile(pki.files("storage", "edit-2").key, place.files.key)
    after_the_check()
    assert live.current() is before
    place.files.ca.unlink()
    after_the_check()
    assert live.current() is before

    place.take(pki.files("storage", "edit-2"))
    after_the_check()
    assert live.current() is not before


def test_the_end_of_a_certificate_is_a_metric(
    pki: Pki, place: Place, clock: SteppedClock, after_the_check: Callable[[], None]
) -> None:
    live = LiveContext(place.files, server_context, clock)
    before = REGISTRY.get_sample_value(EXPIRY, {"kind": "certificate"})

    place.take(pki.expired("storage", "edit-3"))
    after_the_check()
    live.current()

    after = REGISTRY.get_sample_value(EXPIRY, {"kind": "certificate"})
    assert before is not None
    assert after is not None
    assert after < clock.now().timestamp() < before


class Issuing:
    """An authority of this test alone, and a service and a caller by it."""

    def __init__(self, folder: Path) -> None:
        self.store = CertificateStore(folder / "own")
        self.now = SystemClock().now()
        self.store.create(self.now)
        self.service = self.files("storage", "edit-1")
        self.caller = self.files("ingester", "ingester-1")

    def revoke(self, instance: str) -> None:
        found = self.store.find(instance, self.now)
        assert self.store.revoke(found, ReasonFlags.key_compromise, self.now) == found

    def files(self, module: str, instance: str) -> TlsFiles:
        self.store.renew(PeerIdentity(module, instance), self.now)
        return self.store.files(instance)


@pytest.fixture
def issuing(tmp_path: Path) -> Issuing:
    return Issuing(tmp_path)


REFUSED = r"(?i)revoked|refused|reset|broken pipe|verify failed|unknown ca|eof occurred"


def test_what_was_revoked_opens_no_door(
    issuing: Issuing, clock: SteppedClock, after_the_check: Callable[[], None]
) -> None:
    server = LiveServer(issuing.service, clock)
    caller = client_context(issuing.caller)
    assert handshake(server.context, caller)[1] == "spiffe://artstore/ingester/ingester-1"

    issuing.revoke("ingester-1")
    after_the_check()

    with pytest.raises(OSError, match=REFUSED):
        handshake(server.context, caller)


def test_a_caller_refuses_a_server_that_was_revoked(
    issuing: Issuing, clock: SteppedClock, after_the_check: Callable[[], None]
) -> None:
    server = server_context(replace(issuing.service, crl=None))
    caller = LiveContext(issuing.caller, client_context, clock)
    assert handshake(server, caller.current())[0] == "spiffe://artstore/storage/edit-1"

    issuing.revoke("edit-1")
    after_the_check()

    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        handshake(server, caller.current())


def test_without_a_list_that_is_good_nobody_is_trusted(issuing: Issuing) -> None:
    """Whoever holds back the newest list must not keep a stolen certificate alive."""
    late = issuing.now - CRL_LIFE - timedelta(days=1)
    old = CertificateStore(issuing.store.folder.with_name("old"))
    old.create(late)
    (store, server) = (old, PeerIdentity("storage", "edit-1"))
    store.renew(server, issuing.now)

    with pytest.raises(OSError, match=REFUSED):
        handshake(server_context(old.files("edit-1")), client_context(old.files("edit-1")))


def test_callers_of_both_authorities_get_through_while_one_replaces_the_other(
    issuing: Issuing, clock: SteppedClock, after_the_check: Callable[[], None], tmp_path: Path
) -> None:
    server = LiveServer(issuing.service, clock)
    early = Place(tmp_path, issuing.caller).files
    early = replace(early, crl=None)

    authority_replacement.begin(issuing.store, issuing.now)
    shutil.copyfile(issuing.store.authority_file, early.ca)
    authority_replacement.switch(issuing.store, issuing.now)
    after_the_check()
    for caller in (early, issuing.caller):
        assert handshake(server.context, client_context(caller))[1] is not None

    authority_replacement.finish(issuing.store, issuing.now)
    after_the_check()
    assert handshake(server.context, client_context(issuing.caller))[1] is not None
    with pytest.raises(OSError, match=REFUSED):
        handshake(server.context, client_context(early))


def test_authority_and_revocations_have_their_ends_told(
    issuing: Issuing, clock: SteppedClock
) -> None:
    LiveContext(issuing.caller, client_context, clock)

    def told(kind: str) -> float | None:
        return REGISTRY.get_sample_value(EXPIRY, {"kind": kind})

    (authority,), (crl,) = issuing.store.trusted(), issuing.store.revocations()
    assert told("authority") == authority.not_valid_after_utc.timestamp()
    assert crl.next_update_utc is not None
    assert told("revocations") == crl.next_update_utc.timestamp()
