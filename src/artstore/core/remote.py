"""PostgreSQL and Valkey across a network: nothing goes there without TLS from both sides.

A UNIX socket and this machine itself are no network.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from artstore.core.tls import TlsFiles

VERIFIED = "verify-full"


def crosses_network(url: str) -> bool:
    """Whether any of the servers that a URL names may be on another machine."""
    return any(_is_remote(host) for host in _hosts(url))


def towards(tls: TlsFiles | None, ca: Path | None) -> TlsFiles | None:
    """What this process shows to a server, and by what it trusts that one.

    Args:
        ca: The server's authority if it is not the one of ArtStore's certificates. Our list of
            revocations says nothing about others.
    """
    return replace(tls, ca=ca, crl=None) if tls is not None and ca is not None else tls


def secured(url: str, tls: TlsFiles | None) -> str:
    """The same database, over TLS that checks both sides, if it lies across a network. What the
    URL says itself stands."""
    if tls is None or not crosses_network(url):
        return url
    parts = urlsplit(url)
    wanted = {
        "sslmode": VERIFIED,
        "sslcert": tls.certificate,
        "sslkey": tls.key,
        "sslrootcert": tls.ca,
        "ssl_min_protocol_version": "TLSv1.3",
    }
    given = parse_qsl(parts.query)
    if tls.crl is not None and "sslrootcert" not in dict(given):
        wanted["sslcrl"] = tls.crl
    added = [(name, str(value)) for name, value in wanted.items() if name not in dict(given)]
    return urlunsplit(parts._replace(query=urlencode([*given, *added])))


def _hosts(url: str) -> Sequence[str]:
    """Also of libpq's several `host=`, each perhaps with a port."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return ()
    named = [value for name, value in parse_qsl(parts.query) if name in ("host", "hostaddr")]
    every = [host for value in named for host in value.split(",")]
    return [*every, parts.hostname] if parts.hostname else every


def _is_remote(host: str) -> bool:
    if host.startswith(("/", "@")) or host == "localhost":
        return False
    bare = host.strip("[]")
    for address in (bare, bare.rpartition(":")[0].strip("[]")):
        try:
            return not ipaddress.ip_address(address).is_loopback
        except ValueError:
            continue
    return bare.rpartition(":")[0] != "localhost"
