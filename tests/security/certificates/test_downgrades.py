"""Goal: nothing older or weaker than TLS 1.3 gets through at any listener.

Method: clients that offer only that, with a certificate that is right, and raw bytes where the
library here cannot speak so old a version itself. Who speaks nothing older cannot renegotiate:
TLS 1.3 has no such message.
"""

import socket
import ssl

import pytest
from tests.security.certificates.conftest import LISTENERS, Listeners

OLD = {
    "SSL 3.0": bytes.fromhex("0300"),
    "TLS 1.0": bytes.fromhex("0301"),
    "TLS 1.1": bytes.fromhex("0302"),
    "TLS 1.2": bytes.fromhex("0303"),
}
ALERT = 0x15
WEAK = ("RC4-SHA", "DES-CBC3-SHA", "AES128-SHA", "NULL-SHA256", "ECDHE-RSA-AES128-GCM-SHA256")


def client_hello(version: bytes) -> bytes:
    """RFC 5246, 7.4.1.2, with suites of that time and no extension: none names TLS 1.3."""
    suites = bytes.fromhex("002f0035000ac02fc030")
    body = version + bytes(32) + b"\x00" + len(suites).to_bytes(2) + suites + b"\x01\x00"
    handshake = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16" + min(version, b"\x03\x01") + len(handshake).to_bytes(2) + handshake


@pytest.mark.parametrize("listener", LISTENERS)
def test_old_versions_are_refused(listeners: Listeners, listener: str) -> None:
    for name, version in OLD.items():
        with socket.create_connection(("127.0.0.1", listeners.ports[listener]), 10) as plain:
            plain.sendall(client_hello(version))
            try:
                answer = plain.recv(4096)
            except ConnectionError:
                answer = b""
        assert not answer or answer[0] == ALERT, name


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_client_that_offers_both_gets_the_newer(listeners: Listeners, listener: str) -> None:
    files = listeners.pki.files("admin")
    context = listeners.context(files.certificate, files.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", listeners.ports[listener]), 10) as plain,
        context.wrap_socket(plain) as tls,
    ):
        assert tls.version() == "TLSv1.3"
        cipher = tls.cipher()
    assert cipher is not None
    assert cipher[0] in (
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
    )


@pytest.mark.parametrize("listener", LISTENERS)
def test_weak_ciphers_are_refused(listeners: Listeners, listener: str) -> None:
    files = listeners.pki.files("admin")
    for cipher in WEAK:
        context = listeners.context(files.certificate, files.key)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.set_ciphers(f"{cipher}:@SECLEVEL=0")
        except ssl.SSLError:
            continue  # so old that the library here has forgotten it
        assert listeners.ask(listener, context, "/health/live") is None, cipher


@pytest.mark.parametrize("listener", LISTENERS)
def test_plain_http_gets_no_answer(listeners: Listeners, listener: str) -> None:
    with socket.create_connection(("127.0.0.1", listeners.ports[listener]), 10) as plain:
        plain.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            answer = plain.recv(4096)
        except ConnectionError:
            answer = b""
    assert not answer.startswith(b"HTTP/")
