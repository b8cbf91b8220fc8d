"""Goal: no session of TLS outlives the removal of the authority that let its client in.

Method: a saved session is shown again, to PostgreSQL and to Redis (which speaks the protocol of
Valkey) as on another machine. Modules and witness give no tickets (`test_bad_certificates`), and
the edge, which does, asks users for no certificate: who resumes there has proved nothing before
either.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from tests.support.pki import Pki
from tests.support.remote_servers import PASSWORD, ROLE, remote_postgres, remote_redis

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""PostgreSQL's protocol, 55.2.10."""


def client(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    files = pki.files("admin")
    context.load_cert_chain(files.certificate, files.key)
    return context


@contextmanager
def to_postgres(port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as tls:
            yield tls


def test_postgresql_gives_no_ticket(pki: Pki) -> None:
    with remote_postgres(pki) as port, to_postgres(port, client(pki)) as tls:
        # A start-up message without a user is answered with an error: whatever the server sends
        # behind its handshake has come by then.
        tls.sendall((9).to_bytes(4) + (196608).to_bytes(4) + b"\0")
        assert tls.recv(4096).startswith(b"E")
        assert tls.session is None or not tls.session.has_ticket


def ping(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool] | None:
    """The session, and whether it is `session` resumed; `None`: there was no answer."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, session=session) as tls,
        ):
            tls.sendall(b"PING\r\n")
            return (tls.session, tls.session_reused) if tls.recv(4096) else None
    except (ssl.SSLError, ConnectionError):
        return None


def trust(pki: Pki, port: int, authority: Path) -> None:
    files = pki.files("admin")
    with redis.Redis(
        "127.0.0.1",
        port,
        username=ROLE,
        password=PASSWORD,
        ssl=True,
        ssl_ca_certs=str(files.ca),
        ssl_certfile=str(files.certificate),
        ssl_keyfile=str(files.key),
        ssl_check_hostname=False,
    ) as administrator:
        administrator.config_set("tls-ca-cert-file", str(authority))


def test_redis_takes_no_ticket_of_an_authority_that_is_gone(pki: Pki) -> None:
    with remote_redis(pki) as port:
        context = client(pki)
        first = ping(port, context)
        assert first is not None
        session, _ = first
        assert session is not None
        assert session.has_ticket
        again = ping(port, context, session)
        assert again is not None
        assert again[1], "while the authority is trusted, its ticket is"

        trust(pki, port, pki.other_ca_file)

        assert ping(port, context, session) is None
        assert ping(port, context) is None
