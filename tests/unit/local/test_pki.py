"""The authority and its certificates: what is in them, and that real handshakes agree."""

import os
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st
from tests.support.pki import Pki

from artstore.core.tls import PeerIdentity, client_context, identity_of, server_context
from artstore.local import pki
from artstore.local.certificate_store import CertificateStore

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
IDENTITY = PeerIdentity("storage", "edit-1")


def leaf(identity: PeerIdentity = IDENTITY) -> tuple[pki.Authority, x509.Certificate]:
    authority = pki.create_authority(NOW)
    issued = pki.issue(authority, identity, NOW)
    return authority, x509.load_pem_x509_certificate(issued.certificate_pem)


def names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def purposes(certificate: x509.Certificate) -> set[str]:
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return {purpose._name for purpose in usage}


def test_a_leaf_names_its_service_and_this_machine() -> None:
    _, certificate = leaf()

    found = names(certificate)
    assert found.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://artstore/storage/edit-1"
    ]
    assert found.get_values_for_type(x509.DNSName) == ["localhost", "storage.artstore.internal"]
    assert set(found.get_values_for_type(x509.IPAddress)) == {
        ip_address("127.0.0.1"),
        ip_address("::1"),
    }
    assert purposes(certificate) == {"clientAuth", "serverAuth"}


@pytest.mark.parametrize("module", ["operator", "monitoring"])
def test_who_only_calls_cannot_stand_in_for_a_server(module: str) -> None:
    _, certificate = leaf(PeerIdentity(module, module))

    assert purposes(certificate) == {"clientAuth"}
    assert names(certificate).get_values_for_type(x509.DNSName) == []


def test_a_leaf_lives_a_week_and_cannot_sign_others() -> None:
    authority, certificate = leaf()

    assert certificate.not_valid_after_utc - NOW == timedelta(days=7)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca
    limits = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)


def test_the_chain_passes_a_strict_verifier() -> None:
    authority, certificate = leaf()
    verifier = (
        PolicyBuilder()
        .store(Store([authority.certificate]))
        .time(NOW + timedelta(days=1))
        .build_server_verifier(x509.DNSName("storage.artstore.internal"))
    )

    assert verifier.verify(certificate, []) == [certificate, authority.certificate]


@given(st.timedeltas(min_value=timedelta(minutes=-10), max_value=timedelta(days=30)))
def test_renewal_is_due_from_two_thirds_of_the_life_on(age: timedelta) -> None:
    certificate = LEAF
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    now = NOW + age

    due = pki.renewal_due(certificate, now) <= now

    begun = now - certificate.not_valid_before_utc
    assert due == (begun < timedelta() or begun >= life * pki.RENEWAL_SHARE)


_, LEAF = leaf()


def test_a_good_certificate_is_left_alone(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path)
    assert store.renew(IDENTITY, NOW)
    before = store.files("edit-1").certificate.read_bytes()

    assert not store.renew(IDENTITY, NOW + timedelta(days=4))

    assert store.files("edit-1").certificate.read_bytes() == before


def test_a_due_certificate_gets_a_new_key_from_the_same_authority(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path)
    store.renew(IDENTITY, NOW)
    before = store.files("edit-1").key.read_bytes()
    authority = store.authority_file.read_bytes()

    assert store.renew(IDENTITY, NOW + timedelta(days=5))

    assert store.files("edit-1").key.read_bytes() != before
    assert store.authority_file.read_bytes() == authority


def test_certificates_of_a_lost_authority_are_replaced(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path)
    store.renew(IDENTITY, NOW)
    store.authority_file.unlink()

    assert store.renew(IDENTITY, NOW)

    certificate = store.certificate("edit-1")
    assert certificate is not None
    certificate.verify_directly_issued_by(store.authority(NOW).certificate)


@pytest.mark.parametrize("damage", ["another's", "missing", "garbage"])
def test_a_certificate_beside_a_key_that_is_not_its_own_is_replaced(
    tmp_path: Path, damage: str
) -> None:
    store = CertificateStore(tmp_path)
    store.renew(IDENTITY, NOW)
    key_file = store.files("edit-1").key
    if damage == "missing":
        key_file.unlink()
    else:
        store.renew(PeerIdentity("storage", "rw-1"), NOW)
        other = store.files("rw-1").key.read_bytes()
        key_file.write_bytes(other if damage == "another's" else b"garbage")

    assert store.renew(IDENTITY, NOW)
    assert not store.renew(IDENTITY, NOW)


def test_a_full_disk_leaves_key_and_certificate_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CertificateStore(tmp_path)
    store.renew(IDENTITY, NOW)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    flushed = os.fsync
    calls = 0

    def full_at_the_second_file(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(ENOSPC, "No space left on device")
        flushed(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_the_second_file)
    with pytest.raises(OSError, match="No space"):
        store.renew(IDENTITY, NOW + timedelta(days=5))

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_keys_are_for_their_owner_only_and_match(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path)
    store.renew(IDENTITY, NOW)

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    key = serialization.load_pem_private_key(store.files("edit-1").key.read_bytes(), None)
    certificate = store.certificate("edit-1")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert certificate is not None
    assert key.public_key() == certificate.public_key()


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> PeerIdentity | None:
    """Who the server says the client is. Who does not trust the other raises; what its
    counterpart then makes of the broken connection does not matter."""
    left, right = socket.socketpair()
    failures: list[OSError] = []
    seen: list[PeerIdentity | None] = []

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as wrapped:
                wrapped.recv(1)
                seen.append(identity_of(wrapped.getpeercert()))
        except OSError as failure:
            failures.append(failure)
        finally:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname=name) as wrapped:
            wrapped.send(b"x")
    except OSError as failure:
        failures.append(failure)
    finally:
        right.close()
        thread.join()
    for failure in failures:
        if getattr(failure, "reason", None) == "CERTIFICATE_VERIFY_FAILED":
            raise failure
    assert not failures
    return seen[0]


def test_both_sides_of_a_handshake_know_each_other(pki: Pki) -> None:
    server = server_context(pki.files("storage", "edit-1"))
    client = client_context(pki.files("ingester"))

    seen = handshake(server, client, "storage.artstore.internal")

    assert seen == PeerIdentity("ingester", "ingester-1")


def test_another_module_is_not_taken_for_the_wanted_one(pki: Pki) -> None:
    server = server_context(pki.files("query"))
    client = client_context(pki.files("ingester"))

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, client, "storage.artstore.internal")


def test_a_certificate_of_another_authority_is_refused(pki: Pki) -> None:
    server = server_context(pki.files("storage", "edit-1"))
    client = client_context(pki.stranger("ingester", "ingester-9"))

    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server, client, "storage.artstore.internal")


def test_an_expired_certificate_is_refused(pki: Pki) -> None:
    server = server_context(pki.files("storage", "edit-1"))
    client = client_context(pki.expired("ingester"))

    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server, client, "storage.artstore.internal")
