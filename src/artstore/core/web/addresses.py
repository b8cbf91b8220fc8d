"""Where a request began."""

import ipaddress
from typing import Final

from starlette.requests import HTTPConnection

from artstore.core.tls import PeerIdentity
from artstore.core.web.fields import field_of

UNKNOWN: Final = "unknown"
IPV6_NETWORK_BITS: Final = 64
"""Whoever has one IPv6 address usually has a whole /64."""


def client_address(request: HTTPConnection, peer: PeerIdentity | None) -> str:
    """Only the edge is believed when it names somebody else.

    The edge overwrites the header, so its last entry is the address it saw itself.
    """
    if peer is not None and peer.module == "edge":
        forwarded = field_of(request.scope, b"x-forwarded-for")
        if forwarded:
            return forwarded.rsplit(",", 1)[-1].strip()
    client = request.scope.get("client")
    return str(client[0]) if client else UNKNOWN


def network_of(address: str) -> str:
    """What counts as one place, for limits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, IPV6_NETWORK_BITS), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
