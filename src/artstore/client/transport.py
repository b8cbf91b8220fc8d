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


def connection_failure(exchange: Exchange, text: str, *, unreachable: bool = False) -> Unavailable:
    """A failure before the answer. Names the trace, which the servers' logs carry too."""
    trace_id = exchange.headers["traceparent"].split("-")[1]
    return Unavailable(text, correlation_id=trace_id, unreachable=unreachable)


def certificate_refused(edge_url: str, failure: ssl.SSLCertVerificationError) -> ProfileError:
    """Trying again would not help: the server or the trusted authority is not the right one."""
    return ProfileError(f"the certificate of {edge_url} is refused: {failure.verify_message}")


def certificate_failure_in(failure: BaseException) -> ssl.SSLCertVerificationError | None:
    """Why the server's certificate was refused, if that is what lies behind `failure`."""
    found = None
    cause: BaseException | None = failure
    while cause is not None:
        # The innermost: aiohttp's own failure is of this class too, but knows no reason.
        if isinstance(cause, ssl.SSLCertVerificationError):
            found = cause
        cause = cause.__cause__ or cause.__context__
    return found
