"""What both transports have in common."""

import ssl
from typing import Final

from artstore.client.messages import Exchange
from artstore.client.settings import Profile, ProfileError
from artstore.core.errors import Unavailable

CONNECT_TIMEOUT_S: Final = 10.0

STALL_TIMEOUT_S: Final = 120.0
"""Without a byte in either direction. A server may flush gigabytes before it answers."""

KEEP_ALIVE_S: Final = 4.0
"""Shorter than the servers' own, so that a request rarely meets a connection just closed."""

PARTIAL_OR_WHOLE: Final = frozenset({200, 206})


def tls_context(profile: Profile) -> ssl.SSLContext | None:
    """Raises `ProfileError` if the authority's certificate cannot be read."""
    if not profile.edge_url.startswith("https:"):
        return None
    try:
        return ssl.create_default_context(cafile=profile.ca_file)
    except OSError as error:
        raise ProfileError(f"{profile.ca_file} cannot be used: {error.strerror}") from None


def connection_failure(exchange: Exchange, text: str) -> Unavailable:
    """A failure before the answer. Names the trace, which the servers' logs carry too."""
    return Unavailable(text, correlation_id=exchange.headers["traceparent"].split("-")[1])
