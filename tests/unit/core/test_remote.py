"""Which addresses are on another machine, and what is added there."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from artstore.core.remote import crosses_network, secured, towards
from artstore.core.tls import TlsFiles

TLS = TlsFiles(Path("/c/tls.crt"), Path("/c/tls.key"), Path("/c/ca.crt"), Path("/c/crl.pem"))
HERE = [
    "unix:///run/valkey.sock",
    "redis://127.0.0.1:6379/0",
    "redis://[::1]:6379/0",
    "postgresql+psycopg://a@/b?host=/run/postgresql",
    "postgresql+psycopg://a@localhost/b",
    "postgresql+psycopg://a@/b?host=127.0.0.1:5433&host=localhost:5434",
    "postgresql+psycopg://a@/b",
]
ELSEWHERE = [
    "redis://10.0.0.7:6379/0",
    "rediss://valkey.example.org",
    "redis://[2001:db8::1]:6379/0",
    "postgresql+psycopg://a@db.example.org/b",
    "postgresql+psycopg://a@/b?host=/run/postgresql&host=db.example.org:5432",
    "postgresql+psycopg://a@/b?host=localhost,db.example.org",
    "postgresql+psycopg://a@localhost.example.org/b",
    "postgresql+psycopg://a@/b?hostaddr=192.0.2.1",
]


@pytest.mark.parametrize("url", HERE)
def test_this_machine_is_no_network(url: str) -> None:
    assert not crosses_network(url)
    assert secured(url, TLS) == url


@pytest.mark.parametrize("url", ELSEWHERE)
def test_other_machines_are(url: str) -> None:
    assert crosses_network(url)


def test_across_a_network_both_sides_are_checked() -> None:
    url = secured("postgresql+psycopg://a@db.example.org:5433/b?application_name=x", TLS)

    parts = urlsplit(url)
    assert (parts.hostname, parts.port, parts.path) == ("db.example.org", 5433, "/b")
    assert {name: value for name, (value,) in parse_qs(parts.query).items()} == {
        "application_name": "x",
        "sslmode": "verify-full",
        "sslcert": "/c/tls.crt",
        "sslkey": "/c/tls.key",
        "sslrootcert": "/c/ca.crt",
        "sslcrl": "/c/crl.pem",
        "ssl_min_protocol_version": "TLSv1.3",
    }


def test_our_list_says_nothing_of_another_authority() -> None:
    other = towards(TLS, Path("/c/db-ca.crt"))

    assert other == TlsFiles(TLS.certificate, TLS.key, Path("/c/db-ca.crt"))
    assert towards(TLS, None) == TLS


def test_what_the_url_says_itself_stands() -> None:
    """It has an authority of its own: our list of revocations says nothing about it."""
    url = secured("postgresql+psycopg://a@db.example.org/b?sslrootcert=/x/ca.crt", TLS)

    query = parse_qs(urlsplit(url).query)
    assert query["sslrootcert"] == ["/x/ca.crt"]
    assert query["sslmode"] == ["verify-full"]
    assert "sslcrl" not in query
